"""Open a vector file by its extension. Every format comes out as the same stream of Arrow batches."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from core.errors import InvalidInput
from core.models.vector import GEOJSON
from services.vector.archives import extracted_kml, extracted_source
from services.vector.file_signature import SUPPORTED_EXTENSIONS, refuse_wrong_content
from services.vector.layer_choice import is_named, layer_not_found
from services.vector.read_csv import open_csv, open_tsv
from services.vector.read_geojson import open_geojson
from services.vector.read_gml import open_gml
from services.vector.read_gpx import open_gpx
from services.vector.read_kml import open_kml
from services.vector.read_ogr import open_flatgeobuf, open_geodatabase, open_geopackage
from services.vector.read_parquet import open_parquet
from services.vector.read_shapefile import open_shapefile
from services.vector.read_xlsx import open_xlsx
from services.vector.source import ReadOptions, VectorSource
from services.vector.usable_crs import refuse_unusable_crs

Reader = Callable[[Path, ReadOptions], AbstractContextManager[VectorSource]]

# Formats of one layer, which is called as the file is.
_SINGLE_LAYER = frozenset({"csv", "tsv", *GEOJSON, "parquet", "geoparquet", "shp"})


@contextmanager
def open_source(path: Path, extension: str, options: ReadOptions) -> Iterator[VectorSource]:
    """Open the local file `path` as the format its extension names; nothing else is tried.

    extension: one of core.models.vector.EXTENSIONS, in any case, with or without the dot. A `shp` has its sidecars
    beside it. `zip` and `kmz` are extracted beside `path` and removed on exit.
    Raises InvalidInput for whatever the user can mend: `unsupported_format`, `content_mismatch`, `unreadable_file`,
    `crs_missing`, `invalid_crs`, `layer_ambiguous`, `layer_not_found`, `column_not_found`, `malformed_csv` ...
    """
    extension = extension.lower().lstrip(".")
    _refuse_unsupported(extension)
    refuse_wrong_content(path, extension)
    if extension in _SINGLE_LAYER:
        _refuse_other_layer(path, options.layer_name)
    with _READERS[extension](path, options) as source:
        refuse_unusable_crs(source)
        yield source


def _refuse_unsupported(extension: str) -> None:
    if extension not in SUPPORTED_EXTENSIONS:
        raise InvalidInput(
            "unsupported_format",
            f"Files with the extension .{extension} are not read.",
            remedy=f"Supported are {', '.join(sorted(SUPPORTED_EXTENSIONS))}.",
        )


def _refuse_other_layer(path: Path, wanted: str | None) -> None:
    if wanted is not None and not is_named(wanted, path.stem, path.name):
        raise layer_not_found(wanted, {path.stem: None})


@contextmanager
def _open_zip(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    with extracted_source(path, options.layer_name) as found:
        inner = replace(options, layer_name=found.layer_name)
        with open_extracted(found.path, inner) as source:
            yield source


def open_extracted(path: Path, options: ReadOptions) -> AbstractContextManager[VectorSource]:
    """A geodatabase is a folder, which comes out of an archive and never by itself."""
    return open_geodatabase(path, options) if path.is_dir() else open_source(path, path.suffix, options)


@contextmanager
def _open_kmz(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    with extracted_kml(path) as member, open_source(member, "kml", options) as source:
        yield source


_READERS: dict[str, Reader] = {
    "csv": open_csv,
    "tsv": open_tsv,
    "xlsx": open_xlsx,
    **dict.fromkeys(GEOJSON, open_geojson),
    "gpkg": open_geopackage,
    "fgb": open_flatgeobuf,
    "parquet": open_parquet,
    "geoparquet": open_parquet,
    "gml": open_gml,
    "gpx": open_gpx,
    "kml": open_kml,
    "kmz": _open_kmz,
    "shp": open_shapefile,
    "zip": _open_zip,
}
