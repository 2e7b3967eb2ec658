"""`python -m tritonface_server` is the command `tritonface-server`."""

from __future__ import annotations

import sys

from tritonface_server.cli import main

sys.exit(main())
