"""`python -m ptystore_cli` is `ptystore`."""

from ptystore_cli.start import main

if __name__ == "__main__":
    main()
