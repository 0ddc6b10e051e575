"""``python -m lab``: the ``lab`` command."""

import sys

from lab.cli import main

if __name__ == "__main__":  # worker processes import this module too
    sys.exit(main())
