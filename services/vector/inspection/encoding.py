"""How the text of a file is encoded, and how sure that is. The encoding is the one that the load takes."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

import charset_normalizer

import services.vector.gdal_environment  # noqa: F401  isort: skip  (before pyogrio)
import pyogrio

from services.vector.dbf_encoding import declared_encoding, has_language
from services.vector.source import ReadOptions

_MOST = 16 << 20
# Long enough for a detector, short enough for it to be quick.
_LOOKED_AT = 64 << 10
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_XML_DECLARATION = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)")
# The code pages that files with places in them come in.
_CODE_PAGES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "latin_1", "koi8_r"),
    *("cp850", "cp852", "cp866", "mac_roman", "cp932", "euc_jp", "gb18030", "big5", "euc_kr"),
)
# Text of another encoding is hardly ever valid UTF-8. ASCII so far may go on otherwise.
_VALID_UTF8, _ONLY_ASCII_SO_FAR = 0.99, 0.9
# Code pages of one script share most of their letters: a detector cannot tell them apart by a few words.
_ONE_OF_SEVERAL, _UNLIKELY = 0.7, 0.2
_AS_CLEAN = 0.05


@dataclass(frozen=True)
class Encoding:
    """confidence: 0 to 1. found_in: `parameter`, `bom`, `declaration`, `format` or `content`. suspected: what the text
    looks like more."""

    name: str
    confidence: float
    found_in: str
    suspected: str | None = None


def csv_encoding(path: Path, options: ReadOptions, taken: str, *, is_cut: bool) -> Encoding:
    """taken: how the reader reads it. is_cut: whether the file goes on behind what is in `path`."""
    if options.converter_params.get("encoding"):
        return Encoding(taken, 1.0, "parameter")
    with path.open("rb") as file:
        content = file.read(_MOST)
    if bom := next((name for mark, name in _BOMS.items() if content.startswith(mark)), None):
        return Encoding(bom, 1.0, "bom")
    return judged(content, taken, is_cut=is_cut or len(content) == _MOST)


def shapefile_encoding(path: Path, options: ReadOptions) -> Encoding:
    """As the .cpg or the .dbf says, else judged by its records."""
    if given := options.converter_params.get("encoding"):
        return Encoding(str(given), 1.0, "parameter")
    table, declaration = path.with_suffix(".dbf"), path.with_suffix(".cpg")
    if declaration.exists() and (declared := declared_encoding(declaration)):
        return Encoding(declared, 1.0, "declaration")
    if has_language(table):
        return Encoding(str(pyogrio.read_info(path)["encoding"]), 1.0, "declaration")
    with table.open("rb") as file:
        file.seek(int.from_bytes(file.read(32)[8:10], "little"))
        records = file.read(_LOOKED_AT * 16)
    return judged(records.replace(b" ", b"\n"), "utf-8" if is_utf8(records) else "cp1252", is_cut=False)


def xml_encoding(path: Path) -> Encoding:
    with path.open("rb") as file:
        declared = _XML_DECLARATION.match(file.read(1000))
    return Encoding(declared[1].decode(), 1.0, "declaration") if declared else Encoding("utf-8", 1.0, "format")


def judged(content: bytes, taken: str, *, is_cut: bool) -> Encoding:
    """How well the content fits the encoding it is taken for."""
    telling = telling_lines(content)
    if not telling:
        return Encoding(taken, _ONLY_ASCII_SO_FAR if is_cut else 1.0, "content")
    if taken == "utf-8":
        return Encoding(taken, _VALID_UTF8, "content")
    return compared(telling, taken)


def compared(telling: bytes, taken: str) -> Encoding:
    """With what a detector makes of it. Its `chaos` is the share of what cannot be text."""
    found = charset_normalizer.from_bytes(telling, cp_isolation=list(_CODE_PAGES), enable_fallback=False)
    cleanest = min((match.chaos for match in found), default=1.0)
    readings = [match for match in found if match.chaos <= cleanest + _AS_CLEAN]
    ours = next((match for match in readings if python_name(taken) in match.could_be_from_charset), None)
    if ours is not None:
        return Encoding(taken, round(_ONE_OF_SEVERAL if len(readings) > 1 else 1 - ours.chaos, 2), "content")
    return Encoding(taken, _UNLIKELY, "content", readings[0].encoding if readings else None)


def telling_lines(content: bytes) -> bytes:
    """The lines with more than ASCII in them, up to _LOOKED_AT bytes."""
    lines, size = [], 0
    for line in content.split(b"\n"):
        if line.isascii():
            continue
        lines.append(line[:_LOOKED_AT])
        size += len(lines[-1])
        if size > _LOOKED_AT:
            break
    return b"\n".join(lines)


def is_utf8(content: bytes) -> bool:
    """Whether it is UTF-8; a character that is cut off at the end does not count against it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def python_name(encoding: str) -> str:
    """As the detector spells it."""
    return "latin_1" if encoding in ("latin-1", "iso8859-1") else encoding.replace("-", "_")
