"""`python -m ganzoo` is the same as `ganzoo`."""

# Built in: `signal` takes milliseconds to import, and a Ctrl-C in these would be a traceback.
import _signal as signal  # type: ignore[import-not-found]


def run() -> None:
    """The `ganzoo` command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before the command line has a handler of its own, and after it, a Ctrl-C ends the process without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ganzoo.cli import main

    main(prog_name="ganzoo")


if __name__ == "__main__":
    run()
