"""`python -m pipeline` is `item`."""

from pipeline.cli.app import main

if __name__ == "__main__":
    main()
