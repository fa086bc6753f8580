import json
import os
import time
from pathlib import Path


def record(kind: str, **fields: object) -> None:
    """Append one line; a single write, so that concurrent workers do not mix theirs."""
    line = json.dumps({"kind": kind, "pid": os.getpid(), "at": time.time(), **fields}) + "\n"
    with Path(os.environ["RECORDS"]).open("a") as file:
        file.write(line)
