"""Several ranks on one machine: each world is started once and runs all scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "medtrain"))
