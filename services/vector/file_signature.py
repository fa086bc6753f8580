"""Refuse a file whose first bytes are not what its extension says, before any parser sees it."""

import re
from collections.abc import Callable
from pathlib import Path

from core.errors import InvalidInput
from services.vector.arriving import open_arriving

LOOKED_AT = 64 * 1024
_UTF8_BOM = b"\xef\xbb\xbf"
_SHAPEFILE_CODE = (9994).to_bytes(4, "big")
# What XML allows before its root element, but for a document type.
_PROLOG = rb"\A(?:\s+|<!--.*?-->|<\?.*?\?>)*"
_KML_ROOT = re.compile(_PROLOG + rb"<(?:[\w.-]+:)?kml[\s>/]", re.DOTALL)
_GPX_ROOT = re.compile(_PROLOG + rb"<(?:[\w.-]+:)?gpx[\s>/]", re.DOTALL)
_ANY_ROOT = re.compile(_PROLOG + rb"<[\w.:-]+[\s>/]", re.DOTALL)
_GML_NAMESPACE = b"http://www.opengis.net/gml"
_DOCUMENT_TYPE = re.compile(_PROLOG + rb"<!\s*DOCTYPE", re.DOTALL | re.IGNORECASE)


def refuse_wrong_content(path: Path, extension: str) -> None:
    """Raise InvalidInput (`content_mismatch`, `unsafe_xml`) unless the bytes fit the extension.

    extension: lower case, without the dot. An empty file passes: it has no content to be wrong.
    """
    with open_arriving(path) as file:
        head = file.read(LOOKED_AT)
    if extension in ("kml", "gml", "gpx"):
        _refuse_document_type(head)
    if head and not _SIGNATURES[extension](head):
        raise InvalidInput(
            "content_mismatch",
            f"The content of the file is not what its extension .{extension} says.",
            remedy="Give the file the extension of its real format.",
        )


def _refuse_document_type(head: bytes) -> None:
    """Entities can only be declared in a document type, and a document type only before the root element."""
    if _DOCUMENT_TYPE.match(head.removeprefix(_UTF8_BOM)):
        raise InvalidInput("unsafe_xml", "The file declares a document type, which may hide entities.")


def _is_json(head: bytes) -> bool:
    return head.removeprefix(_UTF8_BOM).lstrip(b" \t\r\n\x1e")[:1] in (b"{", b"")


def _is_kml(head: bytes) -> bool:
    return _KML_ROOT.match(head.removeprefix(_UTF8_BOM)) is not None


def _is_gpx(head: bytes) -> bool:
    return _GPX_ROOT.match(head.removeprefix(_UTF8_BOM)) is not None


def _is_gml(head: bytes) -> bool:
    """Any XML that names the namespace: an application schema has a root element of its own."""
    return _ANY_ROOT.match(head.removeprefix(_UTF8_BOM)) is not None and _GML_NAMESPACE in head


def _is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _is_text(head: bytes) -> bool:
    """Text of any encoding. NUL bytes occur only in UTF-16, which starts with a byte order mark, or has them in every
    other place."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" not in head:
        return True
    first, second = head[::2].count(0), head[1::2].count(0)
    return (first == 0) != (second == 0) and 4 * (first + second) > len(head)


def _is_geopackage(head: bytes) -> bool:
    return head.startswith(b"SQLite format 3\x00")


def _is_flatgeobuf(head: bytes) -> bool:
    """Version 3 of the format; the last byte is the version of a patch."""
    return head.startswith(b"fgb\x03fgb")


def _is_parquet(head: bytes) -> bool:
    return head.startswith(b"PAR1")


def _is_shapefile(head: bytes) -> bool:
    return head.startswith(_SHAPEFILE_CODE)


_SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "csv": _is_text,
    "tsv": _is_text,
    "xlsx": _is_zip,
    "geojson": _is_json,
    "json": _is_json,
    "geojsonl": _is_json,
    "ndjson": _is_json,
    "geojsons": _is_json,
    "gpkg": _is_geopackage,
    "fgb": _is_flatgeobuf,
    "parquet": _is_parquet,
    "geoparquet": _is_parquet,
    "gml": _is_gml,
    "gpx": _is_gpx,
    "kml": _is_kml,
    "kmz": _is_zip,
    "shp": _is_shapefile,
    "zip": _is_zip,
}

SUPPORTED_EXTENSIONS = frozenset(_SIGNATURES)
