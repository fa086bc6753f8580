"""GET /api/tables, GET /api/tables/{table}, GET /api/tables/{table}/columns/{column}: what the app has published."""

from datetime import datetime
from typing import Any

import azure.functions as func
from pydantic import Field

from core.config import settings
from core.errors import NotFound
from core.models.results import ColumnInfo
from core.ports import Row, Transaction
from core.sql import tables
from services.vector.column_summary import column_summary
from triggers.endpoint import Answer, Tag, endpoint
from triggers.http import json_response
from triggers.wiring import resources

bp = func.Blueprint()
MOST_TABLES = 1000
OPEN = settings().anonymous_read


class PublishedTable(Answer):
    """name: with its schema. bbox: west, south, east, north in EPSG:4326. source: the file that it was loaded of."""

    name: str
    title: str | None
    description: str | None
    attribution: str | None
    license: str | None
    keywords: list[str] | None
    rows: int
    geometry_type: str
    srid: int
    bbox: list[float]
    columns: list[ColumnInfo]
    source: dict[str, Any]
    stac_collection: str | None
    stac_item: str | None
    temporal_start: datetime | None
    temporal_end: datetime | None
    published_at: datetime
    job_id: str


class PublishedTables(Answer):
    tables: list[PublishedTable] = Field(max_length=MOST_TABLES)


class Category(Answer):
    value: str
    rows: int


class ColumnSummary(Answer):
    """categories: the commonest values as text. quantiles: of numbers the least, the four that divide them into five
    equal parts, and the greatest, NaN and infinity left out. rows: that were looked at; of a large table, a sample."""

    column: str
    pg_type: str
    sampled: bool
    rows: int
    nulls: int
    distinct_values: int
    categories: list[Category]
    quantiles: list[float] | None


@endpoint(bp, "GET", "tables", tag=Tag.TABLES, answers={200: PublishedTables}, anonymous=OPEN)
def list_tables(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The published tables, newest first."""
    with resources().database.transaction() as tx:
        return json_response(PublishedTables(tables=[PublishedTable(**row) for row in published(tx)]))


@endpoint(
    bp,
    "GET",
    "tables/{table}",
    tag=Tag.TABLES,
    answers={200: PublishedTable},
    problems={404: ["table_not_found"]},
    anonymous=OPEN,
)
def get_table(req: func.HttpRequest) -> func.HttpResponse:
    """What was published as this table, named with its schema."""
    with resources().database.transaction() as tx:
        return json_response(PublishedTable(**one_published(tx, req.route_params["table"])))


@endpoint(
    bp,
    "GET",
    "tables/{table}/columns/{column}",
    tag=Tag.TABLES,
    answers={200: ColumnSummary},
    problems={404: ["table_not_found", "column_not_found"]},
    anonymous=OPEN,
)
def get_column(req: func.HttpRequest) -> func.HttpResponse:
    """A column's commonest values, and the quantiles of its numbers."""
    wanted = req.route_params["column"]
    with resources().database.transaction() as tx:
        table = one_published(tx, req.route_params["table"])
        types = {column["name"]: column["pg_type"] for column in table["columns"]}
        if wanted not in types:
            raise NotFound(f"{table['name']} has no column {wanted!r}", code="column_not_found")
        schema, _, name = table["name"].partition(".")
        return json_response(ColumnSummary(**column_summary(tx, schema, name, table["rows"], wanted, types[wanted])))


def one_published(tx: Transaction, name: str) -> Row:
    found = published(tx, name) if "\x00" not in name else []
    if not found:
        raise NotFound(f"there is no published table {name!r}", code="table_not_found")
    return found[0]


def published(tx: Transaction, name: str | None = None) -> list[dict[str, Any]]:
    return tx.all(tables.published_tables, schemas=list(settings().allowed_schemas), name=name, limit=MOST_TABLES)
