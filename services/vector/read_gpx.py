"""Read GPX with a reader of our own. GDAL's loads a latitude that is no number as 0, and cuts integers to 32 bits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from services.vector.gpx_features import LAYERS, LINE_LAYERS, MAIN_LAYERS, Contents, Feature, layer_features, survey
from services.vector.layer_choice import layer_ambiguous, layer_not_found, no_features
from services.vector.read_ogr import choose_crs
from services.vector.source import BATCH_ROWS, ReadOptions, SourceBatch, VectorSource
from services.vector.wkb import points_to_wkb

_WGS84 = CRS.from_epsg(4326)
_SMALLEST_LINE = 2
_BATCH_NUMBERS = 1 << 19
_UNREADABLE = "unreadable_coordinates"


@contextmanager
def open_gpx(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """The layer that was asked for, or the only one of waypoints, routes and tracks that has features.

    Lon/lat by definition. Attributes come as text, whose type its values show; heights of points are one of them.
    Raises InvalidInput: `layer_not_found`, `layer_ambiguous`, `no_features`, `unsafe_xml`, `unreadable_file`.
    """
    contents = survey(path, options.layer_name)
    layer = _chosen_layer(contents, options.layer_name, path)
    crs, origin = choose_crs(options, None, by_format=_WGS84, what="The GPX file")
    schema = pa.schema([(name, pa.string()) for name in contents.columns[layer]])
    yield VectorSource(
        layer=layer,
        driver="GPX",
        crs=crs,
        crs_found_in=origin,
        schema=schema,
        feature_count=contents.counts[layer],
        batches=lambda: _batches(path, layer, schema),
        untyped=frozenset(schema.names),
    )


def _chosen_layer(contents: Contents, wanted: str | None, path: Path) -> str:
    filled = {name: contents.counts[name] for name in LAYERS if contents.counts[name]}
    if not filled:
        raise no_features(path)
    if wanted is not None:
        if wanted not in filled:
            raise layer_not_found(wanted, filled)
        return wanted
    usable = [name for name in MAIN_LAYERS if name in filled]
    if len(usable) > 1:
        raise layer_ambiguous("The file has several layers", filled)
    return usable[0]


def _batches(path: Path, layer: str, schema: pa.Schema) -> Iterator[SourceBatch]:
    geometry_of = _lines if layer in LINE_LAYERS else _points
    for features in _grouped(layer_features(path, layer)):
        attributes = pa.array([feature.attributes for feature in features], pa.struct(list(schema)))
        geometry, reasons = geometry_of(features)
        yield SourceBatch(pa.RecordBatch.from_struct_array(attributes), geometry, reasons)


def _grouped(features: Iterator[Feature]) -> Iterator[Sequence[Feature]]:
    """As many as make a batch, or fewer where they have very many points."""
    group: list[Feature] = []
    numbers = 0
    for feature in features:
        group.append(feature)
        numbers += len(feature.coordinates)
        if len(group) == BATCH_ROWS or numbers >= _BATCH_NUMBERS:
            yield group
            group, numbers = [], 0
    if group:
        yield group


def _points(features: Sequence[Feature]) -> tuple[pa.BinaryArray, pa.StringArray | None]:
    coordinates = np.concatenate([feature.coordinates for feature in features]).reshape(-1, 2)
    usable = np.isfinite(coordinates).all(axis=1)
    reasons = np.full(len(features), None, object)
    reasons[~usable] = _UNREADABLE
    return points_to_wkb(coordinates[:, 0], coordinates[:, 1], usable), _reasons(reasons)


def _lines(features: Sequence[Feature]) -> tuple[pa.BinaryArray, pa.StringArray | None]:
    """One line, or several, of each feature. A segment of a single point is no line, and left out."""
    is_finite = np.array([bool(np.isfinite(feature.coordinates).all()) for feature in features])
    pairs = zip(features, is_finite, strict=True)
    shapes = np.array([_line(feature) if usable else None for feature, usable in pairs], object)
    reasons = np.full(len(features), None, object)
    reasons[shapely.is_missing(shapes)] = "empty_geometry"
    reasons[~is_finite] = _UNREADABLE
    return pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary()), _reasons(reasons)


def _line(feature: Feature) -> Any:
    points = np.asarray(feature.coordinates).reshape(-1, 2)
    ends = np.cumsum(feature.segments)
    sizes = zip(ends, feature.segments, strict=True)
    lines: list[Any] = [shapely.linestrings(points[end - size : end]) for end, size in sizes if size >= _SMALLEST_LINE]
    if not lines:
        return None
    return lines[0] if len(lines) == 1 else shapely.multilinestrings(lines)


def _reasons(reasons: NDArray[np.object_]) -> pa.StringArray | None:
    return pa.array(reasons, pa.string()) if reasons.any() else None
