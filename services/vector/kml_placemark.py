"""One placemark of a KML, put together from its elements: a row of columns and a geometry."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.vector.kml_geometry import Coordinates, Points, Shape, Unreadable, joined, to_wkb, track_point
from services.vector.wkb import LINESTRING, POINT, POLYGON

FOLDER = "folder"
Schemas = Mapping[str, Mapping[str, str]]

_UNREADABLE, _UNSUPPORTED = "unreadable_geometry", "unsupported_geometry_type"
_LINES_AND_POINTS = {"Point": POINT, "LineString": LINESTRING, "LinearRing": LINESTRING}
_SHAPES = frozenset({*_LINES_AND_POINTS, "Polygon", "Track"})
# Elements of a placemark that become columns, under the names that GDAL gives them.
_TEXTS = {
    "name": "Name",
    "description": "description",
    "snippet": "snippet",
    "Snippet": "snippet",
    "address": "address",
    "phoneNumber": "phoneNumber",
}
_MOMENTS = {("TimeStamp", "when"): "timestamp", ("TimeSpan", "begin"): "begin", ("TimeSpan", "end"): "end"}
_FLAGS = frozenset({"visibility", "tessellate", "extrude"})
_ALTITUDE_MODE = "altitudeMode"
CAPTURED = frozenset(
    {*_TEXTS, *_FLAGS, _ALTITUDE_MODE, "when", "begin", "end", "coord", "value", "SimpleData", "coordinates"}
)
# Types of a SimpleField (OGC 12-007r2, 9.8) and what their values look like.
_TYPES = dict.fromkeys(("int", "uint", "short", "ushort"), int) | {"float": float, "double": float, "bool": bool}
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Placemark:
    """folder: label of the container. row: its columns. wkb: None where it has no usable geometry; `reason` says why
    it cannot be used, where there is one."""

    folder: str | None
    row: dict[str, Any]
    wkb: bytes | None
    reason: str | None


class PlacemarkBuilder:
    """Told of the elements inside of one placemark as they begin and end.

    reason: why it can have no geometry, if that is known from the start.
    """

    def __init__(self, folder: str | None, id_: str | None, schemas: Schemas, reason: str | None = None) -> None:
        self._folder = folder
        self._row: dict[str, Any] = {FOLDER: folder} | ({} if id_ is None else {"id": id_})
        self._schemas = schemas
        self._types: Mapping[str, str] = {}
        self._data_name = ""
        self._reason = reason
        self._is_unusable = reason is not None
        self._coordinates: Coordinates | None = None
        self._shapes: list[Shape] = []
        self._outer: list[Points] = []
        self._inner: list[Points] = []
        self._track: list[Points] = []
        self._whens: list[str] = []

    def begin(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in ("Data", "SimpleData"):
            self._data_name = attributes.get("name") or name
        elif name == "SchemaData":
            self._types = self._schemas.get(attributes.get("schemaUrl", "").rpartition("#")[2], {})
        elif name == "coordinates":
            self._coordinates = Coordinates()
        elif name == "Model":
            self._reason = self._reason or _UNSUPPORTED

    def feed_coordinates(self, text: str) -> None:
        if self._coordinates is not None:
            try:
                self._coordinates.feed(text)
            except Unreadable:
                self._reject()

    def _reject(self) -> None:
        self._reason, self._coordinates = _UNREADABLE, None
        self._is_unusable = True

    def end(self, name: str, path: Sequence[str], text: str) -> None:
        """path: the element's ancestors. text: its own, where it is one of CAPTURED other than coordinates."""
        parent = path[-1]
        if name == "coordinates":
            self._end_coordinates(path)
        elif name == "Polygon":
            self._shapes.append(Shape(POLYGON, (*self._outer, *self._inner)))
            self._outer, self._inner = [], []
        elif parent == "Track" or name == "Track":
            self._end_in_track(name, text)
        elif (name, parent) in (("value", "Data"), ("SimpleData", "SchemaData")):
            self._set_data(text)
        elif parent == "Placemark" and name in _TEXTS:
            self._row[_TEXTS[name]] = text
        elif path[-2:-1] == ["Placemark"] and (parent, name) in _MOMENTS:
            self._row[_MOMENTS[parent, name]] = text.strip()
        elif parent == "Placemark" or parent in _SHAPES:
            self._set_drawing(name, text.strip())

    def _end_coordinates(self, path: Sequence[str]) -> None:
        if self._coordinates is None:
            return None
        try:
            points = self._coordinates.points()
        except Unreadable:
            return self._reject()
        if path[-2:-1] == ["innerBoundaryIs"]:
            self._inner.append(points)
        elif "Polygon" in path[-4:]:
            self._outer.append(points)
        elif path[-1] in _LINES_AND_POINTS:
            self._shapes.append(Shape(_LINES_AND_POINTS[path[-1]], (points,)))
        return None

    def _end_in_track(self, name: str, text: str) -> None:
        """Times and places come in two lists of equal length; a place may be empty."""
        if name == "when":
            self._whens.append(text.strip())
        elif name == "coord" and text.strip():
            try:
                self._track.append(track_point(text))
            except Unreadable:
                self._reject()
        elif name == "Track":
            self._shapes.append(Shape(LINESTRING, (joined(self._track),)))
            self._track = []
        else:
            self._set_drawing(name, text.strip())

    def _set_data(self, text: str) -> None:
        """Data may have the name of one of the columns above."""
        name = self._data_name if self._data_name not in self._row else f"{self._data_name}_2"
        self._row[name] = _typed(text, self._types.get(self._data_name, ""))

    def _set_drawing(self, name: str, text: str) -> None:
        """How it is drawn: of several geometries, the first says it."""
        if name in _FLAGS:
            self._row.setdefault(name, int(_BOOLEANS.get(text, False)))
        elif name == _ALTITUDE_MODE:
            self._row.setdefault(name, text)

    def finished(self) -> Placemark:
        if self._whens:
            self._row.setdefault("begin", self._whens[0])
            self._row.setdefault("end", self._whens[-1])
        wkb = None if self._is_unusable or not self._shapes else to_wkb(self._shapes)
        return Placemark(self._folder, self._row, wkb, self._reason if wkb is None else None)


def _typed(text: str, kind: str) -> Any:
    """The value as its schema types it; the text where it is no such value, and null for an empty number."""
    type_, bare = _TYPES.get(kind, str), text.strip()
    if type_ is str:
        return text
    if type_ is bool:
        return _BOOLEANS.get(bare, text) if bare else None
    if not bare:
        return None
    is_integer = bare.lstrip("+-").isdecimal()
    return type_(bare) if _NUMBER.fullmatch(bare) and (type_ is float or is_integer) else text
