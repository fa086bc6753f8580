"""Placemarks out of KML, by SAX: nothing of the document is kept but the placemark at hand.

Tags count without their namespace: KML 2.0 to 2.2 differ in it, and many files declare none, or use prefixes that they
do not declare. A document type is refused where it stands, so that there are no entities to expand or to fetch.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from core.errors import InvalidInput
from services.vector.json_columns import nested_too_deeply
from services.vector.kml_placemark import CAPTURED, Placemark, PlacemarkBuilder

# A placemark is in memory whole. What is larger is most likely not closed.
LARGEST_PLACEMARK = 256 << 20
DEEPEST_ELEMENT = 200

_DECLARED_ENCODING = re.compile(rb"""\A(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']""")
_KNOWN_TO_EXPAT = frozenset({"utf-8", "iso8859-1", "ascii"})
_CONTAINERS = frozenset({"Document", "Folder"})
# It changes the placemarks of another file.
_UPDATE = "Update"
# What stands among the placemarks, and why it is no row of a table.
_FEATURES: dict[str, str | None] = {
    "Placemark": None,
    "GroundOverlay": "overlay",
    "PhotoOverlay": "overlay",
    "ScreenOverlay": "overlay",
    "NetworkLink": "network_link",
}


@dataclass
class _Container:
    """label: its name, made unique, from its first feature on."""

    name: str = ""
    label: str | None = None


class KmlParser:
    """Fed with the file in blocks. head: its first bytes, with the XML declaration.

    folders: number of placemarks by the label of their container, in order.

    Raises InvalidInput: `unreadable_file` with the line, `unsafe_xml`, `nested_too_deeply`, `feature_too_large`.
    """

    def __init__(self, head: bytes, largest: int = LARGEST_PLACEMARK) -> None:
        self.folders: Counter[str | None] = Counter()
        self._largest = largest
        self._finished: list[Placemark] = []
        self._path: list[str] = []
        self._containers: list[_Container] = []
        self._schemas: dict[str, dict[str, str]] = {}
        self._schema: dict[str, str] = {}
        self._builder: PlacemarkBuilder | None = None
        self._text: list[str] = []
        # Length of the path to the element whose text is taken down; 0 for none.
        self._captured_at = 0
        # Where in the file, and how deep, the feature at hand began.
        self._began_at = self._feature_at = 0
        self._encoding = _declared_encoding(head)
        self._decoder = None if self._encoding in _KNOWN_TO_EXPAT else codecs.getincrementaldecoder(self._encoding)()
        self._expat = expat.ParserCreate("utf-8" if self._decoder else None)
        self._expat.buffer_text = True
        self._expat.buffer_size = 1 << 16
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.StartDoctypeDeclHandler = _refuse_document_type

    def feed(self, block: bytes, *, is_last: bool = False) -> list[Placemark]:
        """The placemarks that end in this block, and what stands in their place."""
        try:
            self._expat.Parse(self._decoder.decode(block, is_last).encode() if self._decoder else block, is_last)
        except expat.ExpatError as error:
            why = expat.ErrorString(error.code)
            raise malformed(f"{why} in line {error.lineno}, column {error.offset + 1}") from error
        except UnicodeDecodeError as error:
            raise malformed(f"it is not written in {self._encoding}, as it declares") from error
        except (LookupError, ValueError) as error:
            # Of an encoding that is declared where none is looked for, behind what may not stand there.
            raise malformed("its encoding is not known") from error
        self._refuse_too_large()
        finished, self._finished = self._finished, []
        return finished

    def _refuse_too_large(self) -> None:
        is_open = self._builder is not None or self._captured_at
        if is_open and self._expat.CurrentByteIndex - self._began_at > self._largest:
            raise InvalidInput(
                "feature_too_large",
                f"A feature does not end within {self._largest >> 20} MB, before line {self._expat.CurrentLineNumber}.",
                remedy="Divide it.",
            )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        self._path.append(name)
        if len(self._path) > DEEPEST_ELEMENT:
            raise nested_too_deeply(f"The element in line {self._expat.CurrentLineNumber}")
        if self._captured_at:
            return
        if self._builder is None:
            self._start_around_features(name, attributes)
            return
        self._builder.begin(name, attributes)
        if name == "coordinates":
            self._capture(self._builder.feed_coordinates)
        elif name in CAPTURED:
            self._capture(self._text.append)

    def _start_around_features(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._path[-2] if len(self._path) > 1 else ""
        if name in _CONTAINERS:
            self._containers.append(_Container())
        elif name == "name" and parent in _CONTAINERS:
            self._began_at = self._expat.CurrentByteIndex
            self._capture(self._text.append)
        elif name == "Schema":
            self._schema = {}
            self._schemas |= {attributes.get("name", ""): self._schema, attributes.get("id", ""): self._schema}
        elif name == "SimpleField" and parent == "Schema":
            self._schema[attributes.get("name", "")] = attributes.get("type", "")
        elif name in _FEATURES and _UPDATE not in self._path:
            self._began_at, self._feature_at = self._expat.CurrentByteIndex, len(self._path)
            label = self._label()
            self.folders[label] += name == "Placemark"
            self._builder = PlacemarkBuilder(label, attributes.get("id"), self._schemas, _FEATURES[name])

    def _label(self) -> str | None:
        """Of the innermost container: its name, made unique as GDAL does it."""
        if not self._containers:
            return None
        container = self._containers[-1]
        if container.label is None:
            label = name = container.name.strip() or f"Layer{len(self.folders)}"
            number = 1
            while label in self.folders:
                number += 1
                label = f"{name} (#{number})"
            container.label = label
        return container.label

    def _capture(self, take: Callable[[str], object]) -> None:
        self._captured_at = len(self._path)
        self._expat.CharacterDataHandler = take

    def _end(self, _tag: str) -> None:
        depth = len(self._path)
        name = self._path.pop()
        if self._captured_at and depth > self._captured_at:
            return
        text = self._captured()
        if self._builder is None:
            self._end_around_features(name, text)
        elif depth > self._feature_at:
            self._builder.end(name, self._path, text)
        else:
            self._finished.append(self._builder.finished())
            self._builder = None

    def _captured(self) -> str:
        if not self._captured_at:
            return ""
        self._expat.CharacterDataHandler = None
        self._captured_at = 0
        text = "".join(self._text)
        self._text.clear()
        return text

    def _end_around_features(self, name: str, text: str) -> None:
        if name in _CONTAINERS:
            self._containers.pop()
        elif name == "name" and self._path[-1:] and self._path[-1] in _CONTAINERS:
            self._containers[-1].name = text


def _declared_encoding(head: bytes) -> str:
    """Python's name of it. The first bytes are known to be readable as ASCII."""
    declared = _DECLARED_ENCODING.match(head)
    name = declared[1].decode() if declared else "utf-8"
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except LookupError as error:
        raise malformed(f"its encoding '{name[:40]}' is not known") from error


def _refuse_document_type(*_: object) -> None:
    raise InvalidInput("unsafe_xml", "The KML declares a document type, which may hide entities.")


def malformed(why: str) -> InvalidInput:
    return InvalidInput("unreadable_file", f"The file cannot be read as KML: {why}.")
