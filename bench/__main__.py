"""Everything that is measured but memory and recovery, one after the other, then the picture: `python -m bench`."""

import subprocess
import sys

from bench.picture import draw

PARTS = ("many_tasks", "orchestration", "throughput", "indexes", "speed")


def main() -> int:
    """0 when every part kept what is promised."""
    ended = [subprocess.run([sys.executable, "-m", f"bench.{part}"], check=False).returncode for part in PARTS]
    draw()
    return max(ended)


if __name__ == "__main__":
    sys.exit(main())
