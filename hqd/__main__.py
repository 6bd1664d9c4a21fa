"""`python -m hqd` is `hqd`."""

from __future__ import annotations

import sys

from hqd.cli import main

sys.exit(main())
