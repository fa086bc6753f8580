"""The texts that the cells of an .xlsx share, in less memory than openpyxl gives them: a tenth of it for short ones."""

import itertools
from array import array
from collections.abc import Iterator
from typing import IO, Any

from defusedxml.ElementTree import iterparse
from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

_ITEM, _RUN, _TEXT = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("si", "r", "t"))
_BLOCK = 1 << 16


class FrugalReader(ExcelReader):
    """openpyxl's, but for where the shared texts are kept: anything that can be indexed will do."""

    def read_strings(self) -> None:
        part: Any = self.package.find(SHARED_STRINGS)  # type: ignore[no-untyped-call]
        if part is not None:
            with self.archive.open(part.PartName[1:]) as xml:
                self.shared_strings: Any = SharedTexts(_texts(xml))


class SharedTexts:
    """Read once, then found by their number. Kept as UTF-8 one behind the other, with where each ends."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._utf8: list[bytes] = []
        self._ends: list[array[int]] = []
        while block := [text.encode() for text in itertools.islice(texts, _BLOCK)]:
            self._utf8.append(b"".join(block))
            self._ends.append(array("I", itertools.accumulate(map(len, block), initial=0)))

    def __getitem__(self, number: int) -> str:
        block, place = divmod(number, _BLOCK)
        start, end = self._ends[block][place : place + 2]
        return self._utf8[block][start:end].decode()


def _texts(xml: IO[bytes]) -> Iterator[str]:
    events = iterparse(xml, events=("start", "end"))
    _, root = next(events)
    for event, node in events:
        if event == "end" and node.tag == _ITEM:
            # Plain, or in runs of one style each. Texts elsewhere say how it is pronounced.
            texts = [*node.findall(_TEXT), *node.findall(f"{_RUN}/{_TEXT}")]
            # Excel escapes an underscore that would begin an escape.
            yield "".join(text.text or "" for text in texts).replace("x005F_", "")
            root.clear()
