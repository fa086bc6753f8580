"""`vector-etl`: the command line."""

import sys


def main() -> None:
    try:
        from vector_etl.cli.commands import app  # noqa: PLC0415  typer and rich come with the extra `cli` only
    except ModuleNotFoundError as missing:
        sys.exit(f"vector-etl needs {missing.name}: pip install 'vector-etl[cli]'")
    app()


if __name__ == "__main__":
    main()
