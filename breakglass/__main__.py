"""Make `python -m breakglass` run the same program as `breakglass`."""

import sys

from breakglass.cli import main

if __name__ == "__main__":
    sys.exit(main())
