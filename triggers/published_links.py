"""Where a published table is found: its features, tiles, map, table and STAC item."""

from collections.abc import Iterable
from typing import Any, NotRequired

import azure.functions as func
from typing_extensions import TypedDict

from core.models.job import Job
from core.models.results import ProcessVectorResult
from core.sql import serving
from triggers.addresses import base_of
from triggers.wiring import machine

TILE_MATRIX_SET = "WebMercatorQuad"


class TableLinks(TypedDict):
    table: str
    items: str
    tiles: str
    map: str
    stac: NotRequired[str]


class PublishedResult(ProcessVectorResult):
    """With where the table is found, while it is there."""

    links: TableLinks


def with_links(req: func.HttpRequest, jobs: Iterable[Job]) -> list[dict[str, Any] | None]:
    """What each job's `result_data` is told as: with links, while the table that it published is there."""
    results = [job.result for job in jobs]
    names = [name for result in results if (name := table_of(result))]
    standing = publications(names) if names else {}
    base = base_of(req)
    return [
        {**result, "links": table_links(base, name, standing[name])}
        if result and (name := table_of(result)) in standing
        else result
        for result in results
    ]


def table_of(result: dict[str, Any] | None) -> str | None:
    """The published table, as schema.table; None when the job publishes none."""
    table = result.get("table") if result and "rows" in result else None
    return f"{table['schema']}.{table['name']}" if isinstance(table, dict) else None


def publications(names: list[str]) -> dict[str, str | None]:
    """Of these tables those that are published, with the path of their STAC item."""
    with machine().state.database.transaction() as tx:
        rows = tx.all(serving.standing_publications, names=names)
    return {
        row["name"]: f"collections/{row['stac_collection']}/items/{row['stac_item']}" if row["stac_item"] else None
        for row in rows
    }


def table_links(base: str, name: str, item: str | None) -> TableLinks:
    table = f"{base}/features/collections/{name}"
    links = TableLinks(
        table=table,
        items=f"{table}/items",
        tiles=f"{table}/tiles/{TILE_MATRIX_SET}/tilejson.json",
        map=f"{base}/map/{name}",
    )
    if item:
        links["stac"] = f"{base}/stac/{item}"
    return links
