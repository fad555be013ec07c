"""`python -m service`: the command line, where the script `tarflow` is not installed."""

from service.cli import main

if __name__ == "__main__":
    main()
