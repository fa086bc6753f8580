"""Walk through XML of any size with expat. A file that is cut off or declares entities ends here."""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from core.errors import InvalidInput

_BLOCK = 1 << 20


def parsed_blocks(path: Path, parser: expat.XMLParserType) -> Iterator[None]:
    """Feed the file to the parser, and stop after each block, so that what it found can be taken away.

    Raises InvalidInput: `unreadable_file` when it is not well-formed to its end, `unsafe_xml` for a document type.
    """
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                parser.Parse(block)
                yield
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # The latter two: an encoding that Python does not know, or none that expat can use.
        raise InvalidInput(
            "unreadable_file", f"The file cannot be read as {path.suffix.lstrip('.')}: {_reason(error)}."
        ) from error
    yield


def refuse_malformed(path: Path) -> None:
    """Raises as `parsed_blocks` does."""
    for _ in parsed_blocks(path, expat.ParserCreate()):
        pass


def _refuse_document_type(*_: object) -> None:
    raise InvalidInput("unsafe_xml", "The file declares a document type, which may hide entities.")


def _reason(error: Exception) -> str:
    """Without what the file says: expat counts and names, others may quote."""
    if isinstance(error, expat.ExpatError):
        return f"its XML breaks off or is wrong in line {error.lineno} ({expat.ErrorString(error.code)})"
    return "its text encoding is not supported"
