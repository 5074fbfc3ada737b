"""`python -m pipeline`, and the script `item`: the commands of `pipeline.cli.app`."""

import signal


def main() -> None:
    """Imports the commands, and gives the process to them."""
    # Ctrl-C ends the process meanwhile: there is nothing to say yet, and a traceback would say that
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline.cli import app

    signal.signal(signal.SIGINT, before)
    app.main()


if __name__ == "__main__":
    main()
