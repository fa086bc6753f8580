"""How the text of a shapefile's attributes is encoded: the .cpg says it, or the .dbf, or nobody."""

import codecs
import re
from pathlib import Path

# dBASE language driver ids that say nothing: 0 is unset, 0x57 is "whatever Windows this was".
_SILENT_LANGUAGE_IDS = (0, 0x57)
_LANGUAGE_ID = 29
# As ArcGIS and others write them; GDAL knows only some of those.
_CODE_PAGE = re.compile(r"(?:ansi|oem|cp|ibm|windows)?[ _-]*(\d{3,5})", re.IGNORECASE)
_LATIN = re.compile(r"(?:iso)?[ _-]*8859[ _-]*(\d{1,2})", re.IGNORECASE)
_UTF8 = re.compile(r"utf-?8|\b65001\b", re.IGNORECASE)


def declared_encoding(declaration: Path) -> str | None:
    """The name in a .cpg, as Python and iconv know it; None where nobody knows it, which GDAL would take for UTF-8."""
    name = declaration.read_text("utf-8-sig", errors="replace").strip()
    if _UTF8.search(name):
        return "UTF-8"
    if latin := _LATIN.fullmatch(name):
        name = f"ISO-8859-{latin[1]}"
    elif page := _CODE_PAGE.fullmatch(name):
        name = f"CP{page[1]}"
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    return name


def has_language(table: Path) -> bool:
    """Whether the .dbf itself says what language it is in, which GDAL understands."""
    with table.open("rb") as file:
        return file.read(_LANGUAGE_ID + 1)[_LANGUAGE_ID] not in _SILENT_LANGUAGE_IDS
