"""How long a model folder takes on this machine: `python benchmarks/latency.py`; see benchmarks/speed/latency.py."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the checkout
    from benchmarks.speed.latency import app
    from mdhr_sdk.cli.app import run_app

    run_app(app)
