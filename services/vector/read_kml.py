"""Read KML as a stream. Its folders are layers to GDAL, and one table to us, in the order of the document."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from pyproj import CRS

from services.vector.arriving import open_arriving
from services.vector.json_columns import JsonColumns
from services.vector.kml_parser import KmlParser
from services.vector.kml_placemark import FOLDER, Placemark
from services.vector.ogr_layer import LayerInfo
from services.vector.read_ogr import choose_crs, named_layer
from services.vector.source import ReadOptions, SourceBatch, VectorSource

BLOCK_BYTES = 1 << 20
_XML_DECLARATION_BYTES = 1 << 10
_WGS84 = CRS.from_epsg(4326)


@contextmanager
def open_kml(path: Path, options: ReadOptions, block_bytes: int = BLOCK_BYTES) -> Iterator[VectorSource]:
    """All features of the file, or those directly in the folder or document that layer_name names.

    KML is lon/lat by definition (OGC 12-007r2). Columns are what the placemarks have; where they come from several
    folders, the first column says from which. Links to other files are not followed.
    Raises InvalidInput while reading: `unreadable_file`, `unsafe_xml`, `feature_too_large`, `nested_too_deeply`,
    `too_many_columns`, `layer_not_found`.
    """
    reading = _Reading(path, options.layer_name, block_bytes)
    crs, origin = choose_crs(options, None, by_format=_WGS84, what="The KML file")
    yield VectorSource(
        layer=path.stem,
        driver="KML",
        crs=crs,
        crs_found_in=origin,
        schema=pa.schema([]),
        feature_count=None,
        batches=reading.batches,
        at_end=reading.completed,
    )


class _Reading:
    def __init__(self, path: Path, folder: str | None, block_bytes: int) -> None:
        self._path = path
        self._folder = folder
        self._block_bytes = block_bytes
        self._columns = JsonColumns()
        self._folders: dict[str | None, int] = {}

    def batches(self) -> Iterator[SourceBatch]:
        with open_arriving(self._path) as file:
            parser = KmlParser(head=file.read(_XML_DECLARATION_BYTES))
            file.seek(0)
            while block := file.read(self._block_bytes):
                yield from self._batch(parser.feed(block))
            yield from self._batch(parser.feed(b"", is_last=True))
        if self._folder is not None:
            named_layer([LayerInfo(str(name), True, count) for name, count in parser.folders.items()], self._folder)
        rows = parser.folders.items()
        self._folders = {name: count for name, count in rows if count and self._folder in (None, name)}

    def _batch(self, placemarks: list[Placemark]) -> Iterator[SourceBatch]:
        chosen = [placemark for placemark in placemarks if self._folder in (None, placemark.folder)]
        if chosen:
            reasons = [placemark.reason for placemark in chosen]
            yield SourceBatch(
                self._columns.batch([placemark.row for placemark in chosen]),
                pa.array([placemark.wkb for placemark in chosen], pa.binary()),
                pa.array(reasons, pa.string()) if any(reasons) else None,
            )

    def completed(self, source: VectorSource) -> VectorSource:
        schema = self._columns.schema()
        if len(self._folders) > 1:
            folders = {name or source.layer: count for name, count in self._folders.items()}
            return replace(source, schema=schema, folders=folders)
        position = schema.get_field_index(FOLDER)
        only = next(iter(self._folders), None)
        return replace(source, layer=only or source.layer, schema=schema.remove(position) if position >= 0 else schema)
