"""What the dashboard says of an error is what the pages of docs say."""

import json

from tests.docs.remedies import FILE, remedies
from tests.docs.test_errors import documented


def test_the_dashboard_tells_what_the_pages_say() -> None:
    assert FILE.read_text() == remedies(), "run: python -m tests.docs.remedies"


def test_every_code_has_a_meaning() -> None:
    told = json.loads(FILE.read_text())
    assert set(told) == documented()
    assert all(each["meaning"] for each in told.values())
    assert told["table_exists"]["remedy"] == "another name, or overwrite: true"
    assert told["null_geometry"]["meaning"].startswith("has no geometry")
