"""Column names that Postgres takes as they are: clean, unique, at most 63 bytes, clear of the app's own."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# NAMEDATALEN - 1: Postgres cuts longer identifiers, silently.
MAX_NAME_BYTES = 63
OWN_COLUMNS = frozenset({"id", "geom", "etl_batch_id"})
# https://www.postgresql.org/docs/current/ddl-system-columns.html
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
RESERVED_NAMES = OWN_COLUMNS | SYSTEM_COLUMNS
_RESERVED_PREFIX = "source_"
_NAMELESS = "column"

RenameReason = Literal["cleaned", "reserved", "duplicate", "too_long"]


@dataclass(frozen=True)
class Naming:
    """The column `source` of the file is `name` in the table; `reason` is None where they are the same."""

    source: str
    name: str
    reason: RenameReason | None


def name_columns(sources: Sequence[str]) -> tuple[Naming, ...]:
    """One name for each source name, in their order.

    Lower case; letters and digits of any script stay, whatever else becomes `_`; no leading digit; cut at a
    character's end; reserved names get the prefix `source_`; a name that is taken gets `_2`, `_3` ...
    Names that need no change keep theirs, whatever stands before them. Naming the result again changes nothing.
    """
    wanted = [_wanted_name(source) for source in sources]
    taken: set[str] = set()
    unchanged = [_claim(name, taken) for name, source in zip(wanted, sources, strict=True) if name == source]
    kept = set(unchanged)
    namings = []
    for source, name in zip(sources, wanted, strict=True):
        if source in kept and source == name:
            kept.discard(source)
            namings.append(Naming(source, name, None))
        else:
            unique = _unique(name, taken)
            taken.add(unique)
            namings.append(Naming(source, unique, _reason(source, name, unique)))
    return tuple(namings)


def _claim(name: str, taken: set[str]) -> str:
    taken.add(name)
    return name


def _wanted_name(source: str) -> str:
    clean = _cut(_clean(source), MAX_NAME_BYTES)
    return _RESERVED_PREFIX + clean if clean in RESERVED_NAMES else clean


def _clean(source: str) -> str:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", source).lower())
    spaced = "".join(character if _belongs(character) else " " for character in folded)
    name = "_".join(spaced.replace("_", " ").split()) or _NAMELESS
    return name if _may_lead(name[0]) else f"_{name}"


def _belongs(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _may_lead(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _cut(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore").rstrip("_")


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        suffix = f"_{number}"
        candidate = _cut(name, MAX_NAME_BYTES - len(suffix)) + suffix
    return candidate


def _reason(source: str, wanted: str, name: str) -> RenameReason:
    if name != wanted:
        return "duplicate"
    clean = _clean(source)
    if clean in RESERVED_NAMES:
        return "reserved"
    return "too_long" if len(clean.encode()) > MAX_NAME_BYTES else "cleaned"
