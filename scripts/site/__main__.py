"""Builds the site: `python -m scripts.site`. Exit status 1 when a link is broken or something comes from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.site.build import build

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    faults = build(root, root / ".site", root / "site")
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"Open {root / 'site' / 'index.html'}")
