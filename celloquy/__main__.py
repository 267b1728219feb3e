"""``python -m celloquy`` and the command ``celloquy``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        from celloquy._rooms import complaint

        problem = complaint()
        if problem:
            sys.stderr.write(f"error: {problem}\n")
            sys.exit(1)
        from repl.cli import main as command_line
    except KeyboardInterrupt:  # Ctrl-C before there is anything to interrupt
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
