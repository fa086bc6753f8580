"""tipg's endpoints with other parts: tipg takes these names from its module when it defines its routes."""

import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any

from morecantile import TileMatrixSet
from morecantile import tms as grids
from morecantile.defaults import TileMatrixSets
from tipg import factory
from tipg.factory import Endpoints, create_csv_rows

from triggers.serving.filters import published_filter
from triggers.serving.published import published_collection, published_collections

PARSERS = (
    *("OutputType", "ItemsOutputType", "QueryablesOutputType", "TileParams"),
    *("bbox_query", "datetime_query", "ids_query", "properties_query", "sortby_query"),
)


# The grid of every web map, and that of longitude and latitude: their tiles hold for the whole world.
GRIDS = ("WebMercatorQuad", "WorldCRS84Quad")


class Grids(TileMatrixSets):
    """morecantile copies a grid each time, with all its levels, which takes as long as a small tile does."""

    @cached_property
    def read(self) -> dict[str, TileMatrixSet]:
        return {}

    def get(self, identifier: str) -> TileMatrixSet:
        if identifier not in self.read:
            self.read[identifier] = super().get(identifier)
        return self.read[identifier]


def endpoints(title: str) -> Endpoints:
    # FastAPI awaits the dependencies, whatever tipg says of their type.
    catalog: dict[str, Any] = {
        "collection_dependency": published_collection,
        "collections_dependency": published_collections,
    }
    return Endpoints(
        **catalog,
        title=title,
        supported_tms=Grids({name: grids.tilematrixsets[name] for name in GRIDS}),
        # The viewer and the landing page load from a CDN.
        with_tiles_viewer=False,
        with_common=False,
    )


def csv_rows(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """As tipg's, which fails when there is no row."""
    first = next(rows, None)
    return create_csv_rows(chain([first], rows)) if first else iter(())


def at_once(parser: Callable[..., Any]) -> Callable[..., Any]:
    """FastAPI runs a plain function in a thread of its own: ten for each tile, that each split a string."""

    async def parsed(*given: Any, **named: Any) -> Any:
        return parser(*given, **named)

    parsed.__signature__ = inspect.signature(parser)  # type: ignore[attr-defined]
    return parsed


REPLACED = {
    "create_csv_rows": csv_rows,
    "filter_query": published_filter,
    **{name: at_once(getattr(factory, name)) for name in PARSERS},
}
for name, part in REPLACED.items():
    setattr(factory, name, part)
