"""GET /api/tables, GET /api/tables/{table}, GET /api/tables/{table}/columns/{column}: what the app has published."""

from typing import Any

import azure.functions as func

from core.config import settings
from core.errors import NotFound
from core.ports import Row, Transaction
from core.sql import tables
from services.vector.column_summary import column_summary
from triggers.http import edge, json_response
from triggers.serve import READERS
from triggers.wiring import resources

bp = func.Blueprint()
MOST_TABLES = 1000


@bp.route(route="tables", methods=["GET"], auth_level=READERS)
@edge
def list_tables(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Newest first."""
    with resources().database.transaction() as tx:
        return json_response({"tables": published(tx)})


@bp.route(route="tables/{table}", methods=["GET"], auth_level=READERS)
@edge
def get_table(req: func.HttpRequest) -> func.HttpResponse:
    with resources().database.transaction() as tx:
        return json_response(one_published(tx, req.route_params["table"]))


@bp.route(route="tables/{table}/columns/{column}", methods=["GET"], auth_level=READERS)
@edge
def get_column(req: func.HttpRequest) -> func.HttpResponse:
    """Its commonest values and quantiles."""
    wanted = req.route_params["column"]
    with resources().database.transaction() as tx:
        table = one_published(tx, req.route_params["table"])
        types = {column["name"]: column["pg_type"] for column in table["columns"]}
        if wanted not in types:
            raise NotFound(f"{table['name']} has no column {wanted!r}", code="column_not_found")
        schema, _, name = table["name"].partition(".")
        return json_response(column_summary(tx, schema, name, table["rows"], wanted, types[wanted]))


def one_published(tx: Transaction, name: str) -> Row:
    found = published(tx, name) if "\x00" not in name else []
    if not found:
        raise NotFound(f"there is no published table {name!r}", code="table_not_found")
    return found[0]


def published(tx: Transaction, name: str | None = None) -> list[dict[str, Any]]:
    return tx.all(tables.published_tables, schemas=list(settings().allowed_schemas), name=name, limit=MOST_TABLES)
