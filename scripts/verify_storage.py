"""Compare stored files with their rows: `python scripts/verify_storage.py [--full]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import manage

if __name__ == "__main__":
    sys.argv[1:1] = ["verify_storage"]
    manage.main()
