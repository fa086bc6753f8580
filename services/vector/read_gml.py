"""Read GML through GDAL. What GDAL takes for the end of a file or passes over is looked at here first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from core.errors import InvalidInput
from services.vector.layer_choice import no_features
from services.vector.ogr_layer import layer_infos, open_layer, read_layer
from services.vector.read_ogr import choose_crs, chosen_layer, complete
from services.vector.source import ReadOptions, SourceBatch, VectorSource
from services.vector.xml_stream import refuse_malformed

_BLOCK = 1 << 20
_LONGEST_NAME = 256
_CORNERS = frozenset({"lowerCorner", "upperCorner"})
_CRS_NAME = re.compile(rb"""srsName\s*=\s*["']([^"']{1,256})["']""")
_CRS_CODE = re.compile(r"\d+(?=\D*$)")


@contextmanager
def open_gml(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """The layer that was asked for, or the only one with geometry. Attributes come as text, whose type its values show.

    Raises InvalidInput: `layer_not_found`, `layer_ambiguous`, `no_spatial_layer`, `no_features`, `crs_missing`,
    `mixed_crs`, `unsafe_xml`, `unreadable_file`.
    """
    refuse_malformed(path)
    # GDAL goes through the whole file to find its schema, which it leaves beside it for the next time.
    infos = layer_infos(path, WRITE_GFS="YES")
    if not infos:
        raise no_features(path)
    info = chosen_layer(infos, options.layer_name)
    with open_layer(path, info.name) as layer:
        if layer.crs is None:
            _refuse_mixed_crs(path)
        crs, origin = choose_crs(options, layer.crs, by_format=None, what=f"The layer '{info.name}'")
        schema = pa.schema([field for field in layer.schema if field.name not in _bounds(layer.schema)])
        yield VectorSource(
            layer=info.name,
            driver="GML",
            crs=crs,
            crs_found_in=origin,
            schema=schema,
            feature_count=info.features,
            batches=lambda: (_selected(batch, schema) for batch in complete(read_layer(layer), path, info)),
            untyped=frozenset(field.name for field in schema if pa.types.is_string(field.type)),
        )


def _bounds(schema: pa.Schema) -> frozenset[str]:
    """The corners of each feature's gml:boundedBy, which come as attributes."""
    return _CORNERS if set(schema.names) >= _CORNERS else frozenset()


def _selected(batch: SourceBatch, schema: pa.Schema) -> SourceBatch:
    return replace(batch, attributes=batch.attributes.select(schema.names))


def _refuse_mixed_crs(path: Path) -> None:
    """GDAL gives no CRS to a layer whose geometries are in several; one given from outside would be wrong for some."""
    codes = {_code(name) for name in _crs_names(path)}
    if len(codes) > 1:
        raise InvalidInput(
            "mixed_crs",
            f"The geometries of the file are in several coordinate reference systems: {', '.join(sorted(codes))}.",
            parameter="blob_name",
            remedy="Reproject them into one, or split the file.",
        )


def _crs_names(path: Path) -> set[str]:
    names: set[str] = set()
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            names.update(name.decode(errors="replace") for name in _CRS_NAME.findall(rest + block))
            rest = block[-_LONGEST_NAME - len("srsName=''") :]
    return names


def _code(name: str) -> str:
    """`EPSG:25832` of `urn:ogc:def:crs:EPSG::25832` and `http://www.opengis.net/gml/srs/epsg.xml#25832` alike."""
    code = _CRS_CODE.search(name)
    return f"EPSG:{code[0]}" if code and "epsg" in name.lower() else name
