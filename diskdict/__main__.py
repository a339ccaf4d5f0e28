"""``python -m diskdict`` is the command ``diskdict``."""

import sys

from diskdict.cli import main

if __name__ == "__main__":
    sys.exit(main())
