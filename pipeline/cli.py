"""The console script `pipeline`, which loads its commands only once Ctrl-C and SIGTERM are answered."""

from pipeline.command.stopping import ended_by_signals


def main() -> None:
    """Load the commands and run the command line."""
    with ended_by_signals():
        from pipeline.commands import run_command_line

        run_command_line()


if __name__ == "__main__":
    main()
