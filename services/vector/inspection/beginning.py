"""The beginning of a large text as a file of whole records, so that a reader finds it complete."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from xml.parsers import expat

import numpy as np

from core.models.vector import GEOJSON

HEAD_BYTES = 16 << 20
# For what a GeoJSON says behind its features.
TAIL_BYTES = 64 << 10
# GDAL holds a KML in memory as a whole, and takes a second for this much.
_KML_BYTES = 4 << 20
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_BETWEEN_FEATURES = re.compile(r"[\s,]*")
_BETWEEN_MEMBERS = re.compile(r"[\s,:]*")
_END_OF_ARRAY = re.compile(rb"\]\s*,\s*(?=\")")


def is_text(extension: str) -> bool:
    """Whether the beginning of a file of this format can be read without the rest."""
    return extension in _CUTTERS


def is_large_text(path: Path, extension: str) -> bool:
    """Whether the first HEAD_BYTES and the last TAIL_BYTES of it are enough to look at."""
    return is_text(extension) and path.stat().st_size > HEAD_BYTES + TAIL_BYTES


def beginning(path: Path, extension: str) -> Path | None:
    """The whole records among the first HEAD_BYTES of `path`, in a folder beside it under its own name.

    None when not even one record ends there, or what is there is broken.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(-TAIL_BYTES, 2)
        records = _CUTTERS[extension](head, file.read())
    if records is None:
        return None
    folder = path.parent / "beginning"
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    target.write_bytes(records)
    return target


def _cut_csv(head: bytes, _tail: bytes) -> bytes | None:
    """Up to the last line end outside quotes."""
    if head.startswith(_UTF16_BOMS):
        text = head.decode("utf-16", errors="ignore")
        cut = _cut_csv(text.encode("utf-8", errors="surrogatepass"), b"")
        return cut.decode("utf-8", errors="surrogatepass").encode("utf-16", errors="replace") if cut else None
    data = np.frombuffer(head, np.uint8)
    quotes, line_ends = np.flatnonzero(data == ord('"')), np.flatnonzero(data == ord("\n"))
    outside = line_ends[np.searchsorted(quotes, line_ends) % 2 == 0]
    return head[: outside[-1] + 1] if len(outside) > 1 else None


def _cut_geojson(head: bytes, tail: bytes) -> bytes | None:
    """Up to the last whole feature, closed as the file closes: a `crs` may stand behind the features."""
    text = head.removeprefix(_UTF8_BOM).decode("utf-8", errors="surrogateescape")
    try:
        start = _start_of_features(text)
    except (ValueError, RecursionError):
        return _cut_lines(head)
    end = start
    for feature_end in _ends_of_features(text, start):
        end = feature_end
    if end == start:
        return None
    return text[:end].encode("utf-8", errors="surrogateescape") + _closing(tail)


def _cut_lines(head: bytes) -> bytes | None:
    """Up to the last line end, where each line is a feature."""
    first, _, rest = head.partition(b"\n")
    try:
        json.loads(first.removeprefix(_UTF8_BOM).lstrip(b"\x1e"))
    except (ValueError, RecursionError):
        return None
    return head[: head.rindex(b"\n") + 1] if rest else None


def _start_of_features(text: str) -> int:
    """Behind the bracket that opens them. Raises ValueError when the beginning holds no features."""
    decoder = json.JSONDecoder()
    position = text.index("{") + 1
    while True:
        key, position = decoder.raw_decode(text, _behind(_BETWEEN_MEMBERS, text, position))
        position = _behind(_BETWEEN_MEMBERS, text, position)
        if key == "features" and text[position : position + 1] == "[":
            return position + 1
        _, position = decoder.raw_decode(text, position)


def _ends_of_features(text: str, position: int) -> Iterator[int]:
    """Where each whole feature ends."""
    decoder = json.JSONDecoder()
    with suppress(ValueError, RecursionError):
        while True:
            _, position = decoder.raw_decode(text, _behind(_BETWEEN_FEATURES, text, position))
            yield position


def _behind(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _closing(tail: bytes) -> bytes:
    """The members behind the features, from the bracket that closes them; if there are none, what closes the file."""
    for match in _END_OF_ARRAY.finditer(tail):
        try:
            json.loads(b"{" + tail[match.end() :])
        except (ValueError, RecursionError):
            continue
        return tail[match.start() :]
    return b"]}"


def _cut_kml(head: bytes, _tail: bytes) -> bytes | None:
    """Up to the last whole Placemark, with every element closed that is open there."""
    if head.startswith(_UTF16_BOMS):
        return None
    finder = _PlacemarkFinder()
    try:
        finder.parser.Parse(head[:_KML_BYTES], False)
    except expat.ExpatError:
        return None
    if finder.last is None:
        return None
    start_of_end_tag, still_open = finder.last
    end = head.index(b">", start_of_end_tag) + 1
    return head[:end] + b"".join(b"</" + name.encode() + b">" for name in reversed(still_open))


class _PlacemarkFinder:
    """last: where the end tag of the last Placemark begins, and the elements around it, outermost first."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.last: tuple[int, tuple[str, ...]] | None = None
        self._open: list[str] = []

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._open.append(name)

    def _end(self, name: str) -> None:
        self._open.pop()
        if name.rpartition(":")[2] == "Placemark":
            self.last = self.parser.CurrentByteIndex, tuple(self._open)


_CUTTERS: dict[str, Callable[[bytes, bytes], bytes | None]] = {
    "csv": _cut_csv,
    "tsv": _cut_csv,
    **dict.fromkeys(GEOJSON, _cut_geojson),
    "kml": _cut_kml,
}
