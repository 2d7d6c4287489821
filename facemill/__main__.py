"""`python -m facemill`: the command line, where its script is not on the path."""

from flows.cli.app import main

if __name__ == "__main__":
    main()
