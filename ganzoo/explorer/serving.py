"""Start the explorer: bind the port, print the address, and serve until Ctrl-C."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from ganzoo import backend
from ganzoo.api.loaded import load
from ganzoo.errors import OptionError, reason
from ganzoo.explorer.security import Guard, is_loopback
from ganzoo.explorer.server import Server
from ganzoo.explorer.session import Session
from ganzoo.explorer.worker import Worker

if TYPE_CHECKING:
    from ganzoo.api.loaded import LoadedRun

STOP_SECONDS = 2.0  # to wait for the server's thread
MAX_CONNECTIONS = 500


def serve(
    run: LoadedRun,
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allowed_hosts: Sequence[str] = (),
    device: str = "auto",
    follow: bool = False,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page of a run, called `name` on the command line, until an exception such as KeyboardInterrupt. With
    `follow`, show the newest checkpoint of its folder. Jittor works in the calling thread. OptionError if the port is
    in use."""
    listener = bind(host, port)
    port = listener.getsockname()[1]
    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    reopen = partial(load, run.path, device=device) if follow else None
    session, worker = Session(run, name, reopen), Worker()
    hosts = [host, socket.gethostname(), socket.getfqdn(), *allowed_hosts] if token else [host, *allowed_hosts]
    guard = Guard(Server(session, worker, say).app, hosts, token, f"ganzoo-{port}")
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        guard,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_listen, args=(server, listener, worker), name="ganzoo-server", daemon=True)
    thread.start()
    try:
        _announce(host, port, token, say, open_browser)
        with backend.show_compilation("warming up"):
            session.warm_up()
        say("ready; end with Ctrl-C")
        worker.run(session.look_for_newer)
    finally:
        server.should_exit = server.force_exit = True
        worker.close()
        thread.join(STOP_SECONDS)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 is a free one. OptionError if that is impossible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only if the protocol is named; otherwise, a picture waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise OptionError(
                f"--port {port}: in use by another program; give another, or 0 for a free one."
            ) from error
        if error.errno == errno.EACCES:
            raise OptionError(f"--port {port}: not permitted; give one from 1024 to 65535.") from error
        raise OptionError(f"--host {host}: {reason(error)}.") from error
    return listener


def _listen(server: uvicorn.Server, listener: socket.socket, worker: Worker) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        worker.close()


def _announce(host: str, port: int, token: str | None, say: Callable[[str], None], open_browser: bool) -> None:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    name = f"[{shown}]" if ":" in shown else shown
    address = f"http://{name}:{port}/" + (f"?token={token}" if token else "")
    say(address)
    if os.environ.get("SSH_CONNECTION") and token is None:
        user, machine = os.environ.get("USER", "USER"), os.environ["SSH_CONNECTION"].split()[2:3]
        say(f"on your own machine: ssh -L {port}:{name}:{port} {user}@{(machine or ['HOST'])[0]}")
    if open_browser:
        webbrowser.open(address)
