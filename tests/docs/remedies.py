"""Error codes and reasons of rejection as the dashboard tells them, made of docs/errors.md and docs/rejects.md:
`python -m tests.docs.remedies` writes the file."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "web/static/remedies.json"
PAGES = ("errors.md", "rejects.md")
HEADINGS = {"remedy": "remedy", "what happens": "happens"}


def remedies() -> str:
    """{code: {meaning, remedy?, happens?}}"""
    told: dict[str, dict[str, str]] = {}
    name = ""
    # What the second page says of a row stands for itself.
    for line in "\n".join((ROOT / "docs" / page).read_text() for page in PAGES).splitlines():
        first, *others = [plain(cell) for cell in line.strip("|").split(" | ")] if line.startswith("| ") else [""]
        if first in ("code", "reason"):
            name = HEADINGS.get(others[-1], "")
        elif first:
            told |= {code: described(others, name) for code in first.split(", ")}
    return json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def described(cells: list[str], name: str) -> dict[str, str]:
    return {"meaning": cells[0], **({name: cells[1]} if name and cells[1] != "nothing to do" else {})}


def plain(cell: str) -> str:
    return re.sub("`", "", cell).strip()


if __name__ == "__main__":
    FILE.write_text(remedies())
