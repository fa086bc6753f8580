"""A file that is read while it arrives: the same bytes as when it is complete, and an end when the rest is lost."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.vector.arriving import SourceLost, announce, complete, give_up, note_beside, open_arriving, size_at_last
from services.vector.converters import open_source
from services.vector.source import ReadOptions
from services.vector.source_file import written
from tests.services.vector.reading import feature, point, read, write_geojson, write_text


def pieces_of(content: bytes, size: int) -> Iterator[bytes]:
    for begin in range(0, len(content), size):
        time.sleep(0.002)
        yield content[begin : begin + size]


def arriving(path: Path, content: bytes, size: int = 1000) -> threading.Thread:
    """The content comes piece by piece."""
    announce(path, len(content))
    wanted = threading.Event()
    wanted.set()
    thread = threading.Thread(target=written, args=(pieces_of(content, size), path, wanted))
    thread.start()
    return thread


def test_all_that_comes_is_read_and_then_it_ends(tmp_path: Path) -> None:
    path, content = tmp_path / "a", bytes(range(256)) * 100
    thread = arriving(path, content)
    assert size_at_last(path) == len(content)
    with open_arriving(path) as file:
        assert file.read(300) == content[:300]
        assert file.read() == content[300:]
    thread.join()
    assert not note_beside(path).exists()
    assert size_at_last(path) == len(content)


def test_what_waits_for_the_rest_ends_when_it_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a"
    announce(path, 10)
    path.write_bytes(b"123")
    threading.Timer(0.05, give_up, [path]).start()
    with open_arriving(path) as file, pytest.raises(SourceLost):
        file.read()


def test_a_complete_file_needs_no_note(tmp_path: Path) -> None:
    path = tmp_path / "a"
    announce(path, 3)
    path.write_bytes(b"123")
    complete(path)
    with open_arriving(path) as file:
        assert file.read() == b"123"


@pytest.mark.parametrize("name", ["a.geojson", "a.csv", "a.kml"])
def test_a_source_is_read_alike_while_it_arrives(name: str, tmp_path: Path) -> None:
    whole = tmp_path / name
    options = {"lat_name": "lat", "lon_name": "lon"} if name == "a.csv" else {}
    if name == "a.geojson":
        write_geojson(whole, *(feature(point(n % 180, n % 90), n=n, text=f"é {n}") for n in range(3000)))
    elif name == "a.csv":
        write_text(whole, "n,lat,lon\n" + "".join(f"{n},{n % 90},{n % 180}\n" for n in range(9000)))
    else:
        marks = (
            f"<Placemark><name>{n}</name><Point><coordinates>{n % 180},0</coordinates></Point></Placemark>"
            for n in range(3000)
        )
        write_text(whole, f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{"".join(marks)}</Document></kml>')
    expected = read(whole, **options)
    (tmp_path / "slow").mkdir()
    path = tmp_path / "slow" / name
    thread = arriving(path, whole.read_bytes(), 4000)
    found = read(path, **options)
    thread.join()
    assert found.wkb == expected.wkb
    assert found.table.equals(expected.table)


def test_a_refusal_need_not_wait_for_the_rest(tmp_path: Path) -> None:
    """The first bytes are no CSV: the rest never comes, and nobody waits for it."""
    path = tmp_path / "a.geojson"
    announce(path, 1 << 30)
    path.write_bytes(b"PK\x03\x04" + bytes(1 << 17))
    with pytest.raises(Exception, match="not what its extension"), open_source(path, "geojson", ReadOptions()):
        pass
