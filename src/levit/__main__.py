"""Command line: `python -m levit`."""

from levit.cli import run

if __name__ == "__main__":
    run()
