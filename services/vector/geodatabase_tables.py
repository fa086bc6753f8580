"""The tables of a file geodatabase. GDAL takes one whose index is cut off for an empty one, so that is checked."""

from pathlib import Path

from services.vector.ogr_layer import unreadable

# Layout: https://github.com/rouault/dump_gdbtable/wiki/FGDB-Spec, section ".gdbtablx". Little-endian.
_HEADER_BYTES, _ROWS_IN_BLOCK = 16, 1024
_VERSION, _BLOCKS, _OFFSET_BYTES = slice(0, 4), slice(4, 8), slice(12, 16)
# Tables with object ids of 64 bits have version 4, and another layout.
_KNOWN_VERSION = 3


def refuse_cut_tables(folder: Path) -> None:
    """Raises InvalidInput(`unreadable_file`) when an index of rows is shorter than its header says."""
    for index in sorted(folder.glob("*.gdbtablx")):
        with index.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        version, blocks, width = (int.from_bytes(header[part], "little") for part in (_VERSION, _BLOCKS, _OFFSET_BYTES))
        announced = _HEADER_BYTES + blocks * _ROWS_IN_BLOCK * width
        if version == _KNOWN_VERSION and index.stat().st_size < announced:
            raise unreadable(folder, f"{index.name} ends before its announced length")
