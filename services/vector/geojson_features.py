"""A slice of GeoJSON as features: parsed at once; one by one where that fails, to mend them or to name the place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from core.errors import InvalidInput
from services.vector.geojson_geometry import GEOMETRY_TYPES, NO_TEXT, Geometry
from services.vector.json_braces import BraceScanner
from services.vector.json_columns import nested_too_deeply
from services.vector.json_slices import Slice, malformed

# What a feature without `properties` has besides is taken for them, as GDAL does.
_OWN_MEMBERS = frozenset({"type", "id", "geometry", "properties", "bbox", "center", "centroid", "crs"})
_PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Feature(msgspec.Struct, gc=False):
    """A feature; or a bare geometry, which has coordinates, or geometries, itself."""

    type: str = ""
    id: Any = None
    geometry: Geometry | None = None
    properties: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    coordinates: msgspec.Raw = NO_TEXT
    geometries: msgspec.Raw = NO_TEXT


_FEATURE = msgspec.json.Decoder(Feature)
_FEATURES = msgspec.json.Decoder(list[Feature])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_features(part: Slice, first: int) -> list[Feature]:
    """The features of a slice, all of them with `properties`. first: number of the first one in the file, from 1.

    Read beyond what JSON allows: NaN and Infinity, control characters in strings, halves of surrogate pairs as U+FFFD.
    Raises InvalidInput: `unreadable_file`, `nested_too_deeply`; they name the feature and its place.
    """
    try:
        features = _FEATURES.decode(part.text)
    except _PARSE_ERRORS:
        return _one_by_one(part, first)
    are_whole = all(each.type == "Feature" and each.properties is not msgspec.UNSET for each in features)
    return features if are_whole else _one_by_one(part, first)


def _one_by_one(part: Slice, first: int) -> list[Feature]:
    return [_Item(text, first + n, offset).feature() for n, (text, offset) in enumerate(_items(part))]


def _items(part: Slice) -> Iterator[tuple[bytes, int]]:
    """The text of each object and its offset in the file. Nothing else may stand in the array."""
    text = bytes(part.text)
    braces = BraceScanner().scan(text)
    begins, ends = braces.stretches(0)
    for n, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        is_last = n == len(begins) - 1
        if text[begin:end].strip() != (b"[" if n == 0 else b"]" if is_last else b","):
            raise malformed(f"something else than features stands in their list, at byte {part.offset + begin}")
        if not is_last:
            yield text[end : int(begins[n + 1])], part.offset + end


@dataclass(frozen=True)
class _Item:
    """text: of an object that stands where a feature is expected. offset: of its first byte in the file."""

    text: bytes
    number: int
    offset: int

    def feature(self) -> Feature:
        try:
            feature = _FEATURE.decode(self.text)
        except _PARSE_ERRORS:
            feature = self._mended()
        if feature.type in GEOMETRY_TYPES:
            geometry = Geometry(feature.type, feature.coordinates, feature.geometries)
            return Feature("Feature", geometry=geometry, properties=None)
        if feature.type not in ("Feature", ""):
            raise self._malformed(f"is of type '{feature.type[:40]}', which is none of GeoJSON's")
        if not feature.type and self._value().keys().isdisjoint(("geometry", "properties")):
            raise self._malformed("has no type, no geometry and no properties")
        if feature.properties is msgspec.UNSET:
            feature.properties = {name: value for name, value in self._value().items() if name not in _OWN_MEMBERS}
        return feature

    def _mended(self) -> Feature:
        value = self._value()
        properties = value.get("properties", msgspec.UNSET)
        if not isinstance(properties, dict | None | msgspec.UnsetType):
            raise self._malformed("has properties that are no object")
        return Feature(
            type=_text(value.get("type")),
            id=value.get("id"),
            geometry=None if value.get("geometry") is None else _geometry(value["geometry"]),
            properties=properties,
            coordinates=_raw(value.get("coordinates")),
            geometries=_raw(value.get("geometries")),
        )

    def _value(self) -> dict[str, Any]:
        try:
            text = self.text.decode()
            value: dict[str, Any] = json.loads(text, strict=False)
            # Only what parsed can tell half of a pair from a whole one.
            return value if "\\ud" not in text.lower() else json.loads(_paired(json.dumps(value, ensure_ascii=False)))
        except UnicodeDecodeError as error:
            raise self._malformed(f"is not written in UTF-8, at byte {self.offset + error.start}") from error
        except json.JSONDecodeError as error:
            at = self.offset + len(text[: error.pos].encode())
            raise self._malformed(f"is not JSON: {error.msg.lower()} at byte {at}") from error
        except RecursionError as error:
            raise nested_too_deeply(f"Feature {self.number}, at byte {self.offset},") from error

    def _malformed(self, why: str) -> InvalidInput:
        return malformed(f"feature {self.number}, which begins at byte {self.offset}, {why}")


def _geometry(value: Any) -> Geometry:
    if not isinstance(value, dict):
        return Geometry()
    return Geometry(_text(value.get("type")), _raw(value.get("coordinates")), _raw(value.get("geometries")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _paired(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that has lost the other."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
