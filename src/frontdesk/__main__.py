"""`python -m frontdesk`: the command line."""

from frontdesk.cli import main

if __name__ == "__main__":
    main()
