"""Where the app is, and the key to it."""

from pathlib import Path

from vector_etl.errors import NotConnected

STACK = Path(".local/stack.env")
NOWHERE = "no app is known: give --url, or set VECTOR_ETL_URL, or start one with `make up` in a checkout"


def found(url: str | None, key: str | None) -> tuple[str, str | None]:
    """What was given; without a URL, those of the stack of the checkout that we are in. Its key goes nowhere else.

    Raises NotConnected.
    """
    if url:
        return url, key
    running = stack_of(Path.cwd())
    if "BASE_URL" not in running:
        raise NotConnected(NOWHERE)
    return running["BASE_URL"], key or running.get("FUNCTIONS_KEY")


def stack_of(folder: Path) -> dict[str, str]:
    """The addresses that `make up` left in this folder or one above."""
    for place in (folder, *folder.parents):
        if (place / STACK).is_file():
            lines = (place / STACK).read_text().splitlines()
            return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
    return {}
