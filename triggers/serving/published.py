"""The published tables as tipg's collections, read from the database for each request: nothing is known for longer."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from tipg.collections import Catalog, Collection, CollectionList, Column, PgCollection
from tipg.dependencies import CollectionsParams, bbox_query, datetime_query

from core.config import settings
from core.errors import InvalidInput, NotFound
from core.sql import serving

# As tipg's own catalog calls them.
TYPES = {
    "character varying": "text",
    "double precision": "float8",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}


class PublishedTable(PgCollection):
    def cql_where(self, *given: Any, **filters: Any) -> Any:
        """cql2 raises bare exceptions for what cannot be told as CQL2: numbers that are none, or too large."""
        try:
            return super().cql_where(*given, **filters)
        except Exception as error:
            if type(error) is not Exception:
                raise
            raise InvalidInput("invalid_parameter", f"a filter cannot be read: {error}.") from error


async def published_collection(
    request: Request, collection_id: Annotated[str, Path(alias="collectionId", description="Collection identifier")]
) -> Collection:
    """Raises NotFound when it is no published table."""
    for found in await collections(request, collection_id):
        return found
    raise NotFound(f"there is no published table {collection_id!r}", code="collection_not_found")


async def published_collections(
    request: Request,
    bbox: Annotated[list[float] | None, Depends(bbox_query)],
    interval: Annotated[list[str] | None, Depends(datetime_query)],
    kind: Annotated[Literal["Function", "Table"] | None, Query(alias="type")] = None,
    limit: Annotated[int | None, Query(ge=0, le=1000)] = None,
    offset: Annotated[int | None, Query(ge=0)] = None,
) -> CollectionList:
    catalog: dict[str, Collection] = {collection.id: collection for collection in await collections(request)}
    # tipg's function takes the catalog from here; nothing comes between these two lines.
    request.app.state.collection_catalog = Catalog(collections=catalog, last_updated=datetime.now())  # noqa: DTZ005
    return CollectionsParams(request, bbox, interval, kind, limit, offset)


async def collections(request: Request, name: str | None = None) -> list[PublishedTable]:
    async with request.app.state.pool.acquire() as connection:
        rows = await connection.fetch(serving.published_tables, list(settings().allowed_schemas), name)
    return [collection_of(row) for row in rows]


def collection_of(row: Any) -> PublishedTable:
    name = f"{row['schema_name']}.{row['table_name']}"
    columns = {column.name: column for column in columns_of(row)}
    return PublishedTable(
        type="Table",
        id=name,
        schema=row["schema_name"],
        table=row["table_name"],
        title=row["title"] or name,
        description=row["description"],
        table_columns=list(columns.values()),
        properties=list(columns.values()),
        id_column=columns["id"],
        geometry_column=columns["geom"],
        datetime_column=next((column for column in columns.values() if column.is_datetime), None),
    )


def columns_of(row: Any) -> Iterator[Column]:
    for told in row["columns"]:
        name, kind = told["name"], TYPES.get(told["type"], told["type"])
        if name == "geom":
            shape = {"geometry_type": row["geometry_type"], "srid": row["srid"], "bounds": row["bbox"]}
            yield Column(name=name, type="geometry", **shape)
        elif name == row["temporal_property"]:
            yield Column(name=name, type=kind, mindt=moment(row["temporal_start"]), maxdt=moment(row["temporal_end"]))
        else:
            yield Column(name=name, type=kind)


def moment(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
