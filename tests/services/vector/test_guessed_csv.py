"""A long CSV is read by what its beginning looks like, and again from the start where that was wrong."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from core.errors import InvalidInput
from core.models.vector import ProcessVectorParams
from infrastructure.sandbox.protocol import Message
from services.vector import parser
from services.vector.arriving import SourceLost, announce, complete, give_up
from services.vector.chunks import read_chunk
from services.vector.converters import open_source
from services.vector.csv_format import read_csv_format
from services.vector.parsed import ChunkDone, Parsed, ParseRequest, chunk_path
from services.vector.source import Misjudged, ReadOptions
from tests.services.vector.reading import read, refusal, write_text

LAT_LON: dict[str, Any] = {"lat_name": "lat", "lon_name": "lon"}
HEADER = "lat,lon,name\n"
# Several blocks of the reader.
LONG = HEADER + "1,2,plain\n" * 400_000


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG + "3,4,Zürich\n",
        LONG + '3,4,"two\nlines"\n5,6,"a ""quote"""\n',
        LONG.replace("\n", "\r\n"),
        "\ufeff" + LONG,
        "sep=;\n" + LONG.replace(",", ";"),
        LONG.replace(",", ";").replace("1;", "1,5;"),
    ],
    ids=["plain", "accent", "quotes", "CRLF", "byte order mark", "separator", "decimal comma"],
)
def test_a_right_guess_gives_what_a_close_look_gives(tmp_path: Path, text: str) -> None:
    path = write_text(tmp_path / "a.csv", text)
    assert read_csv_format(path, {}, guess=True).is_guess
    guessed, looked_at = read(path, guess=True, **LAT_LON), read(path, **LAT_LON)
    assert guessed.table.equals(looked_at.table)
    assert guessed.wkb == looked_at.wkb
    assert len(guessed.wkb) >= 400_000


MISJUDGED = {
    "another encoding": (LONG + "3,4,café\n").encode("cp1252"),
    "a line longer than a block": (LONG + f"3,4,{'x' * 3_000_000}\n").encode(),
    "an inch mark": (LONG + '3,4,5" pipe\n').encode(),
}
REFUSED = {
    "a ragged row": (LONG + "3,4\n" + HEADER).encode(),
    "a quote that is never closed": (LONG + '3,4,"x\n' + "1,2,plain\n" * 5).encode(),
}


@pytest.mark.parametrize("content", [*MISJUDGED.values(), *REFUSED.values()], ids=[*MISJUDGED, *REFUSED])
def test_a_wrong_guess_is_found_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(Misjudged):
        read(path, guess=True, **LAT_LON)


@pytest.mark.parametrize(
    ("content", "params"),
    [
        (HEADER.encode() + b"1,2,x\n" * 10, {}),
        (LONG.encode("utf-16"), {}),
        (LONG.encode("utf-16-le"), {}),
        (("café" + LONG).encode("latin-1"), {}),
        (LONG.encode(), {"encoding": "cp1252"}),
    ],
    ids=["short", "UTF-16", "UTF-16 without a mark", "an accent at once", "an encoding is given"],
)
def test_what_need_not_be_guessed_is_looked_at(tmp_path: Path, content: bytes, params: dict[str, str]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert not read_csv_format(path, params, guess=True).is_guess
    assert not read_csv_format(path, params).is_guess


def test_rows_come_before_the_file_is_complete(tmp_path: Path) -> None:
    path, content = tmp_path / "a.csv", LONG.encode()
    announce(path, len(content))
    path.write_bytes(content[:-100])
    with open_source(path, "csv", ReadOptions(guess=True, **LAT_LON)) as source:
        batches = source.batches()
        rows = len(next(batches).geometry)
        with path.open("ab") as file:
            file.write(content[-100:])
        complete(path)
        rows += sum(len(batch.geometry) for batch in batches)
    assert rows == 400_000


def test_a_file_whose_rest_is_lost_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    announce(path, len(LONG) + 10)
    path.write_bytes(LONG.encode())
    threading.Timer(0.5, give_up, [path]).start()
    with pytest.raises(SourceLost):
        read(path, guess=True, **LAT_LON)


class Told:
    """What the parser makes of a CSV, and of each chunk that it told of."""

    def __init__(self, path: Path) -> None:
        params = ProcessVectorParams(blob_name="a.csv", table_name="t", file_extension="csv", **LAT_LON)
        self.folder = path.parent
        self.chunks: list[list[pa.Array]] = []
        request = ParseRequest(path=path, folder=self.folder, params=params)
        self.parsed = Parsed.model_validate(parser.parse(request.model_dump(mode="json"), self.hear))

    def hear(self, message: Message) -> None:
        path = chunk_path(self.folder, ChunkDone.model_validate(message).number)
        self.chunks.append([chunk.rows for chunk in read_chunk(path.read_bytes())])
        path.unlink()

    def rows(self) -> Iterator[int]:
        """Numbers of the rows in the chunks that count."""
        for chunk in self.chunks[len(self.chunks) - self.parsed.chunks :]:
            for batch in chunk:
                yield from batch.to_pylist()


def test_a_right_guess_is_read_once(tmp_path: Path) -> None:
    told = Told(write_text(tmp_path / "a.csv", LONG))
    assert told.parsed.chunks == len(told.chunks) == 4
    assert list(told.rows()) == list(range(1, 400_001))


@pytest.mark.parametrize("content", MISJUDGED.values(), ids=MISJUDGED)
def test_a_wrong_guess_counts_no_row_twice(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    told = Told(path)
    assert 0 < told.parsed.chunks < len(told.chunks)
    assert told.parsed.rows == 400_001
    assert list(told.rows()) == list(range(1, 400_002))


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_for_its_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        Told(path)
    assert (caught.value.code, caught.value.details) == ("malformed_csv", refusal(path, **LAT_LON).details)
