"""Run `ganzoo` as `python -m ganzoo`."""

# `_signal` is built in. Importing `signal` takes milliseconds, in which a Ctrl-C would print a traceback.
import _signal as signal  # type: ignore[import-not-found]


def run() -> None:
    """Run the `ganzoo` command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before and after the command line handles SIGINT itself, Ctrl-C ends the process without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ganzoo.cli import main

    main(prog_name="ganzoo")


if __name__ == "__main__":
    run()
