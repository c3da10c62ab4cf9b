"""`python -m teachable` is the `teachable` command."""

from teachable.cli.main import main

if __name__ == "__main__":
    main()
