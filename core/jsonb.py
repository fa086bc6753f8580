"""JSON as Postgres' jsonb takes it."""

import json
import re
from typing import Any

# A backslash that is escaped itself does not count.
ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def jsonb_text(value: Any) -> str:
    """What JSON can hold and jsonb cannot is replaced: U+0000 by U+FFFD, lone surrogates by "?". An error that quotes a
    broken value must not be lost for it."""
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return ESCAPED_NUL.sub(r"\1\\ufffd", text)
