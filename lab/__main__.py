"""``python -m lab``: the ``lab`` command.

Python puts the current folder first among the folders that modules are imported from, and imports this package from there
if it has one of its name. From here on nothing else is; ``lab`` and ``python -P -m lab`` import nothing from it at all.
"""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from lab.cli import main

if __name__ == "__main__":  # worker processes import this module too
    sys.exit(main())
