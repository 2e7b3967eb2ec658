"""`python -m tritonface`: the command line."""

import sys

from tritonface._cli import main

if __name__ == "__main__":
    sys.exit(main())
