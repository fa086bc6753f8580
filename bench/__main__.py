"""Everything that is measured but memory and recovery, one part after the other, then one table and one picture.

python -m bench [--short] [PART ...]
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec

from bench.figures import NOT_KEPT, arguments, console, folder_of, kept_figures, show
from bench.picture import PARTS, draw


def main() -> int:
    """0 when every part ran to its end and, in the long form, all that is promised is kept."""
    parser = arguments(argparse.ArgumentParser(prog="python -m bench", description=__doc__))
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given = parser.parse_args()
    chosen = given.parts or [part for part in PARTS if find_spec(f"bench.{part}")]
    folder = folder_of(short=given.short)
    ended = {part: run(part, short=given.short) for part in chosen}
    figures = list(kept_figures(folder, PARTS))
    show(figures)
    draw(figures, folder)
    broken = [part for part, code in ended.items() if code not in (0, NOT_KEPT)]
    if broken:
        console.print(f"did not run to their end: {', '.join(broken)}")
        return 1
    return 0 if given.short or all(each.kept for each in figures) else NOT_KEPT


def run(part: str, *, short: bool) -> int:
    options = ["--short"] if short else []
    return subprocess.run([sys.executable, "-m", f"bench.{part}", *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
