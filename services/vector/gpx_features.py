"""The features of a GPX as expat meets them: attributes as text, coordinates as numbers. One block at a time."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from services.vector.xml_stream import parsed_blocks

LAYERS = {"waypoints": "wpt", "routes": "rte", "tracks": "trk", "route_points": "rtept", "track_points": "trkpt"}
LINE_LAYERS = ("routes", "tracks")
# The points of routes and tracks are layers too, but only for those who ask.
MAIN_LAYERS = ("waypoints", *LINE_LAYERS)
_LINES, _POINTS = frozenset({"rte", "trk"}), frozenset({"wpt", "rtept", "trkpt"})


@dataclass
class Feature:
    """coordinates: lon, lat, lon, lat ..., NaN where there is no number. segments: how many points each part has."""

    attributes: dict[str, str] = field(default_factory=dict)
    coordinates: "array[float]" = field(default_factory=lambda: array("d"))
    segments: list[int] = field(default_factory=list)
    links: int = 0

    def add(self, column: str, text: str) -> None:
        """Repeated elements share a column."""
        before = self.attributes.get(column)
        self.attributes[column] = text if before is None else f"{before}; {text}"


@dataclass(frozen=True)
class Contents:
    """counts: features by layer. columns: attributes by layer, in the order of their first appearance; of the points
    of routes and tracks only where they were asked for."""

    counts: dict[str, int]
    columns: dict[str, list[str]]


def survey(path: Path, wanted: str | None) -> Contents:
    """Read the whole file once. wanted: the layer that was asked for. Raises InvalidInput as `parsed_blocks` does."""
    elements = {element for layer, element in LAYERS.items() if layer in (*MAIN_LAYERS, wanted)}
    columns: dict[str, dict[str, None]] = {element: {} for element in LAYERS.values()}
    collector = _Collector(frozenset(elements), has_lines=False)
    for element, feature in _collected(path, collector):
        columns[element].update(dict.fromkeys(feature.attributes))
    return Contents(
        {layer: collector.counts[element] for layer, element in LAYERS.items()},
        {layer: list(columns[element]) for layer, element in LAYERS.items()},
    )


def layer_features(path: Path, layer: str) -> Iterator[Feature]:
    """The features of one layer, in their order."""
    collector = _Collector(frozenset({LAYERS[layer]}), has_lines=layer in LINE_LAYERS)
    for _, feature in _collected(path, collector):
        yield feature


def _collected(path: Path, collector: "_Collector") -> Iterator[tuple[str, Feature]]:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.characters
    for _ in parsed_blocks(path, parser):
        finished, collector.finished = collector.finished, []
        yield from finished


class _Collector:
    """Handlers for expat. Features can stand in one another: points in routes and tracks.

    counts: features so far, by element. has_lines: whether routes and tracks collect the coordinates of their points.
    """

    def __init__(self, wanted: frozenset[str], has_lines: bool) -> None:
        self.finished: list[tuple[str, Feature]] = []
        self.counts = dict.fromkeys(LAYERS.values(), 0)
        self._wanted = wanted
        self._has_lines = has_lines
        self._prefix: str | None = None
        # None for a feature whose attributes nobody wants.
        self._open: list[Feature | None] = []
        self._inside: list[str] = []
        self._text = ""
        self._is_leaf = False

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = self._plain(qualified)
        if name in self.counts:
            self._start_feature(name, attributes)
        elif self._open and (feature := self._open[-1]) is not None:
            self._inside.append(name)
            self._text, self._is_leaf = "", True
            if name == "trkseg":
                feature.segments.append(0)
            elif name == "link":
                feature.links += 1
                if "href" in attributes:
                    feature.add(f"link{feature.links}_href", attributes["href"])

    def end(self, qualified: str) -> None:
        name = self._plain(qualified)
        if name in self.counts:
            feature = self._open.pop()
            if feature is not None and name in self._wanted:
                self.finished.append((name, feature))
        elif self._open and (feature := self._open[-1]) is not None:
            if self._is_leaf and (text := self._text.strip()):
                feature.add(_column(self._inside, feature), text)
            self._inside.pop()
        self._is_leaf = False

    def characters(self, text: str) -> None:
        if self._is_leaf:
            self._text += text

    def _plain(self, qualified: str) -> str:
        """Without the prefix of the root element, where it has one: that of the GPX namespace."""
        if self._prefix is None:
            self._prefix = qualified.removesuffix("gpx")
        return qualified.removeprefix(self._prefix) if self._prefix else qualified

    def _start_feature(self, name: str, attributes: dict[str, str]) -> None:
        line = self._open[-1] if self._open else None
        is_wanted = name in self._wanted
        feature = Feature() if is_wanted or name in _LINES else None
        if name in _POINTS and (is_wanted or self._has_lines):
            place = _number(attributes.get("lon")), _number(attributes.get("lat"))
            if feature is not None:
                feature.coordinates.extend(place)
            if line is not None and self._has_lines:
                line.coordinates.extend(place)
        if line is not None:
            if not line.segments:
                line.segments.append(0)
            if feature is not None:
                feature.attributes |= self._place(line, name)
            line.segments[-1] += 1
        self.counts[name] += 1
        self._open.append(feature)
        self._is_leaf = False

    def _place(self, line: Feature, name: str) -> dict[str, str]:
        """Which route or track, segment and point it is, counted from 0 and named as GDAL does."""
        number = str(line.segments[-1])
        if name == "rtept":
            return {"route_fid": str(self.counts["rte"] - 1), "route_point_id": number}
        segment = str(len(line.segments) - 1)
        return {"track_fid": str(self.counts["trk"] - 1), "track_seg_id": segment, "track_seg_point_id": number}


def _column(inside: list[str], feature: Feature) -> str:
    """The name GDAL gives it: `name`, `link1_text`, `x_code` for an extension x:code."""
    names = [name for name in inside if name not in ("extensions", "link", "trkseg")]
    column = "_".join(names).replace(":", "_")
    return f"link{feature.links}_{column}" if "link" in inside else column


def _number(text: str | None) -> float:
    try:
        return math.nan if text is None or "_" in text else float(text)
    except ValueError:
        return math.nan
