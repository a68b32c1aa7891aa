"""`python -m levit`: the command line."""

from levit.cli import main

if __name__ == "__main__":
    main()
