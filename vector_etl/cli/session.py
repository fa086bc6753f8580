"""What every command works with: the client, and where it may write."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from rich.console import Console
from typer import Option

from vector_etl.cli.connection import found
from vector_etl.client import Client

PANEL = "Connection and output"


@dataclass(frozen=True)
class Session:
    """Results go to `out`, what happens meanwhile to `meanwhile`. With `as_json` the result is one JSON document, and
    nothing is told besides."""

    url: str | None
    key: str | None
    as_json: bool

    @cached_property
    def client(self) -> Client:
        """Raises NotConnected when no app is known."""
        return Client(*found(self.url, self.key))

    @cached_property
    def out(self) -> Console:
        return Console(highlight=False, soft_wrap=True)

    @cached_property
    def meanwhile(self) -> Console:
        return Console(stderr=True, highlight=False, soft_wrap=True, quiet=self.as_json)

    @cached_property
    def complaints(self) -> Console:
        return Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.meanwhile.print(text, markup=False)

    def document(self, content: Any) -> None:
        self.out.print(json.dumps(content, indent=2, ensure_ascii=False), markup=False)


def session(
    url: Annotated[
        str | None,
        Option(envvar="VECTOR_ETL_URL", help="Of the app: https://NAME.azurewebsites.net", rich_help_panel=PANEL),
    ] = None,
    key: Annotated[
        str | None, Option(envvar="VECTOR_ETL_KEY", help="A function key.", show_envvar=True, rich_help_panel=PANEL)
    ] = None,
    as_json: Annotated[
        bool, Option("--json", help="One JSON document on standard output.", rich_help_panel=PANEL)
    ] = False,
) -> Session:
    return Session(url, key, as_json)
