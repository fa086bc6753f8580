"""Open a vector file by its extension. Every format comes out as the same stream of Arrow batches."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from core.errors import InvalidInput
from services.vector.archives import extracted_kml, extracted_source
from services.vector.file_signature import SUPPORTED_EXTENSIONS, refuse_wrong_content
from services.vector.read_csv import open_csv
from services.vector.read_geojson import open_geojson
from services.vector.read_kml import open_kml
from services.vector.read_ogr import open_geopackage
from services.vector.read_shapefile import open_shapefile
from services.vector.source import ReadOptions, VectorSource

Reader = Callable[[Path, ReadOptions], AbstractContextManager[VectorSource]]


@contextmanager
def open_source(path: Path, extension: str, options: ReadOptions) -> Iterator[VectorSource]:
    """Open the local file `path` as the format its extension names; nothing else is tried.

    extension: one of SUPPORTED_EXTENSIONS, in any case, with or without the dot.
    A `shp` has its sidecars beside it. `zip` and `kmz` are extracted beside `path` and removed on exit.
    Raises InvalidInput for whatever the user can mend: `unsupported_format`, `content_mismatch`, `unreadable_file`,
    `crs_missing`, `layer_ambiguous`, `layer_not_found`, `column_not_found`, `malformed_csv`, `unsafe_archive` ...
    """
    extension = extension.lower().lstrip(".")
    _refuse_unsupported(extension)
    refuse_wrong_content(path, extension)
    with _READERS[extension](path, options) as source:
        yield source


def _refuse_unsupported(extension: str) -> None:
    if extension not in SUPPORTED_EXTENSIONS:
        raise InvalidInput(
            "unsupported_format",
            f"Files with the extension .{extension} are not read.",
            remedy=f"Supported are {', '.join(sorted(SUPPORTED_EXTENSIONS))}.",
        )


@contextmanager
def _open_zip(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    with extracted_source(path) as member, open_source(member, member.suffix, options) as source:
        yield source


@contextmanager
def _open_kmz(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    with extracted_kml(path) as member, open_source(member, "kml", options) as source:
        yield source


_READERS: dict[str, Reader] = {
    "csv": open_csv,
    "geojson": open_geojson,
    "json": open_geojson,
    "geojsonl": open_geojson,
    "ndjson": open_geojson,
    "geojsons": open_geojson,
    "gpkg": open_geopackage,
    "kml": open_kml,
    "kmz": _open_kmz,
    "shp": open_shapefile,
    "zip": _open_zip,
}
