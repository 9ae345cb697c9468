"""`sightline` and `python -m sightline`."""

from __future__ import annotations

import sys

from sightline.cli.interrupts import EXIT_CODE, catch_interrupts, end_at_interrupts


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        catch_interrupts()
        from sightline.cli.app import run
        from sightline.cli.streams import prepare_streams

        prepare_streams()
        code = run(sys.argv[1:])
        end_at_interrupts()
    except KeyboardInterrupt:  # before `run` began, or once more while it told of the first
        code = EXIT_CODE
    sys.exit(code)


if __name__ == "__main__":
    main()
