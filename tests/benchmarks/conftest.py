"""The benchmarks belong to the clone, not to the installed package: the tests find them by their place."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
