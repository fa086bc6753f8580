"""Read a shapefile and its sidecars. GDAL takes a cut-off one for a short one, so the lengths are checked first."""

import codecs
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core.errors import InvalidInput
from services.vector.dbf_encoding import declared_encoding, has_language
from services.vector.gdal_environment import restored_shx
from services.vector.ogr_layer import open_layer, read_layer, unreadable
from services.vector.read_ogr import choose_crs, source_of
from services.vector.recoding import BYTES_AS_CHARACTERS, recoded_batch, recoded_schema
from services.vector.source import ReadOptions, VectorSource

_RECORD_COUNT, _HEADER_LENGTH, _RECORD_LENGTH = slice(4, 8), slice(8, 10), slice(10, 12)
_DBF_HEADER = 32
_SHP_HEADER, _EXTENT = 100, slice(36, 68)
_SHX_HEADER, _SHX_RECORD = 100, 8


@contextmanager
def open_shapefile(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """A shapefile whose .dbf, .prj, .shx and .cpg lie beside it. A missing .shx is restored, in that folder.

    Raises InvalidInput: `sidecar_missing` without a .dbf, `crs_missing` without a .prj or source_crs,
    `unreadable_file` when a part is cut off or the parts do not belong together.
    """
    table = _sidecar(path, ".dbf")
    if table is None:
        raise InvalidInput(
            "sidecar_missing",
            f"The shapefile {path.name} comes without its .dbf, which holds the attributes.",
            remedy="Put the .dbf (with .shx and .prj) beside the .shp, or upload all of them as one zip.",
        )
    records = _verified_records(path, table)
    if _sidecar(path, ".shx") is None:
        _restore_index(path)
    given = options.converter_params.get("encoding")
    with open_layer(path, encoding=BYTES_AS_CHARACTERS if given else _encoding(path, table)) as layer:
        what = f"The shapefile {path.name} has no .prj{_guess(path)} and"
        crs, origin = choose_crs(options, layer.crs, by_format=None, what=what)
        source = source_of(path.stem, "ESRI Shapefile", layer, crs, origin, records, lambda: read_layer(layer))
        yield _recoded(source, given) if given else source


def _recoded(source: VectorSource, encoding: str) -> VectorSource:
    return replace(
        source,
        schema=recoded_schema(source.schema, encoding),
        batches=lambda: (recoded_batch(batch, encoding) for batch in source.batches()),
    )


def _guess(path: Path) -> str:
    """Only said: many a local grid has coordinates as small as degrees are."""
    with path.open("rb") as shapes:
        west, south, east, north = struct.unpack("<4d", shapes.read(_SHP_HEADER)[_EXTENT])
    plainly = -180 <= west <= east <= 180 and -90 <= south <= north <= 90
    return " (its extent could be degrees, EPSG:4326)" if plainly else ""


def _restore_index(path: Path) -> None:
    with restored_shx(), open_layer(path):
        pass


def _sidecar(path: Path, suffix: str) -> Path | None:
    """The file of the same name with that suffix, in either case."""
    candidates = (path.with_suffix(suffix), path.with_suffix(suffix.upper()))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _verified_records(path: Path, table: Path) -> int:
    """Number of records, after making sure that every part is as long as its header says.

    Layout: ESRI Shapefile Technical Description (1998) and the dBASE III header.
    """
    with path.open("rb") as shapes, table.open("rb") as attributes:
        shape_words = int.from_bytes(shapes.read(28)[24:28], "big")
        header = attributes.read(_DBF_HEADER)
    records = int.from_bytes(header[_RECORD_COUNT], "little")
    header_length, record_length = (int.from_bytes(header[part], "little") for part in (_HEADER_LENGTH, _RECORD_LENGTH))
    if path.stat().st_size < 2 * shape_words:
        raise unreadable(path, "the .shp ends before its announced length")
    if table.stat().st_size < header_length + records * record_length:
        raise unreadable(path, "the .dbf ends before its announced length")
    index = _sidecar(path, ".shx")
    if index is not None and (indexed := (index.stat().st_size - _SHX_HEADER) // _SHX_RECORD) != records:
        raise unreadable(path, f"the .shx has {indexed} records and the .dbf {records}")
    return records


def _encoding(path: Path, table: Path) -> str | None:
    """What the .cpg names, None for what the .dbf says itself, else judged from the bytes of the attributes."""
    declaration = _sidecar(path, ".cpg")
    if declaration is not None and (declared := declared_encoding(declaration)):
        return declared
    if has_language(table):
        return None
    return "UTF-8" if _is_utf8(table) else "CP1252"


def _is_utf8(table: Path) -> bool:
    """Whether the records are UTF-8. The binary header is skipped."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with table.open("rb") as file:
        file.seek(int.from_bytes(file.read(_DBF_HEADER)[_HEADER_LENGTH], "little"))
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return False
    return True
