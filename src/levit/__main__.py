"""`python -m levit`: the command line."""

from levit.cli import run

if __name__ == "__main__":
    run()
