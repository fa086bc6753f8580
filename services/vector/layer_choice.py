"""Which of several layers is meant, and what is said when that is not clear."""

import re
from collections.abc import Mapping
from pathlib import Path

from core.errors import InvalidInput

# As many characters of a blob's name as its local copy keeps.
_COMPARED = 80


def is_named(wanted: str, *names: str) -> bool:
    """Whether it is one of the names of a file, which has lost its unusual characters on its way here."""
    return _plain(wanted) in map(_plain, names)


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name)[:_COMPARED].strip("_").casefold()


def layer_not_found(wanted: str, counts: Mapping[str, int | None]) -> InvalidInput:
    """counts: features of each layer there is, None where they are not known."""
    return InvalidInput(
        "layer_not_found",
        f"layer '{wanted}' not found; available: {with_counts(counts)}",
        parameter="layer_name",
        details={"layers": dict(counts)},
    )


def layer_ambiguous(what: str, counts: Mapping[str, int | None]) -> InvalidInput:
    return InvalidInput(
        "layer_ambiguous",
        f"{what}: {with_counts(counts)}.",
        parameter="layer_name",
        remedy="Name one of them as layer_name.",
        details={"layers": dict(counts)},
    )


def with_counts(counts: Mapping[str, int | None]) -> str:
    return ", ".join(name if count is None else f"{name} ({count} features)" for name, count in counts.items())


def no_features(path: Path) -> InvalidInput:
    return InvalidInput(
        "no_features",
        f"the source has no features: {path.name} was read to its end and is empty.",
        parameter="blob_name",
        remedy="Check that the file was exported completely.",
    )
