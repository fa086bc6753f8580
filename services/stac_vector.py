"""The STAC item that describes a published table."""

from datetime import datetime
from typing import Any

import pystac
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.table import Column, TableExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from core.errors import InvalidInput
from core.models.results import ColumnInfo
from core.models.vector import ProcessVectorParams

COLLECTION = "system-vectors"
# From stac/collections/COLLECTION/items/ITEM to what comes before `stac`.
API = "../../../.."
_validator = JsonSchemaSTACValidator()


def item_id_of(schema: str, table: str) -> str:
    return f"{schema}.{table}"


def collection() -> dict[str, Any]:
    """The collection of all published tables, made when the first item needs it."""
    extent = pystac.Extent(pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]), pystac.TemporalExtent([None, None]))
    made = pystac.Collection(
        COLLECTION, "Vector tables in PostGIS, one item per table.", extent, title="Vector tables", license="other"
    )
    told: dict[str, Any] = made.to_dict(include_self_link=False)
    return told | {"links": []}


def build_item(
    params: ProcessVectorParams,
    *,
    geometry_type: str,
    columns: list[ColumnInfo],
    rows: int,
    bbox: list[float],
    published_at: datetime,
    interval: tuple[datetime, datetime] | None,
    etl: dict[str, Any],
) -> dict[str, Any]:
    """The item as JSON. bbox: west, south, east, north in degrees, EPSG:4326. interval: first and last time in the
    data, the item is dated by the first; without one it is dated by its publication. Raises InvalidInput when the item
    is not valid STAC 1.1."""
    item = pystac.Item(
        id=item_id_of(params.schema_name, params.table_name),
        geometry=footprint(bbox),
        bbox=bbox,
        # The start, not null: pgSTAC leaves nulls out, and an item without datetime is not valid.
        datetime=interval[0] if interval else published_at,
        start_datetime=interval[0] if interval else None,
        end_datetime=interval[1] if interval else None,
        collection=COLLECTION,
        properties=described(params) | {"created": stamp(published_at), "updated": stamp(published_at), **etl},
    )
    add_table(item, geometry_type, columns, rows)
    ProjectionExtension.ext(item, add_if_missing=True).apply(code="EPSG:4326")
    for name, asset in assets(params).items():
        item.add_asset(name, asset)
    told: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    told["links"] = [{"rel": "collection", "href": f"collections/{COLLECTION}", "type": "application/json"}]
    refuse_invalid(told)
    return told


def described(params: ProcessVectorParams) -> dict[str, Any]:
    given = {
        "title": params.title or params.table_name,
        "description": params.description,
        "license": params.license,
        "keywords": list(params.keywords),
        "attribution": params.attribution,
    }
    return {name: value for name, value in given.items() if value}


def add_table(item: pystac.Item, geometry_type: str, columns: list[ColumnInfo], rows: int) -> None:
    extension = TableExtension.ext(item, add_if_missing=True)
    extension.row_count = rows
    extension.primary_geometry = "geom"
    own = [("id", "bigint"), ("geom", f"geometry({geometry_type},4326)")]
    named = [*own[:1], *((column.name, column.pg_type) for column in columns), *own[1:]]
    extension.columns = [Column({"name": name, "type": kind}) for name, kind in named]


def assets(params: ProcessVectorParams) -> dict[str, pystac.Asset]:
    """Where the table is served. Relative to the item's own place in our STAC API, which resolves them: a catalog knows
    no host that it could be wrong about."""
    name = f"{params.schema_name}.{params.table_name}"
    table = f"{API}/features/collections/{name}"
    return {
        "table": postgis_asset(params),
        "items": pystac.Asset(f"{table}/items", "Features", media_type=pystac.MediaType.GEOJSON, roles=["data"]),
        "tiles": pystac.Asset(
            f"{table}/tiles/WebMercatorQuad/tilejson.json",
            "Vector tiles (TileJSON)",
            media_type=pystac.MediaType.JSON,
            roles=["visual"],
        ),
        "map": pystac.Asset(f"{API}/map/{name}", "Map", media_type=pystac.MediaType.HTML, roles=["overview"]),
    }


def postgis_asset(params: ProcessVectorParams) -> pystac.Asset:
    """No host in the link: a catalog is read by people who reach the database by another name."""
    href = f"postgresql:///{params.schema_name}.{params.table_name}"
    return pystac.Asset(href, title="PostGIS table", media_type="application/vnd.postgresql", roles=["data"])


def footprint(bbox: list[float]) -> dict[str, Any]:
    """The box as a polygon; a point or a line when the box has no area, so that the geometry stays valid."""
    west, south, east, north = bbox
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west == east or south == north:
        return {"type": "LineString", "coordinates": [[west, south], [east, north]]}
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def stamp(moment: datetime) -> str:
    return pystac.utils.datetime_to_str(moment)


def refuse_invalid(item: dict[str, Any]) -> None:
    """Against the core schema, which pystac ships; the extensions' fields are set through pystac's own classes, since
    their schemas would have to be fetched."""
    try:
        _validator.validate_core(item, pystac.STACObjectType.ITEM, pystac.get_stac_version())
    except pystac.STACValidationError as error:
        raise InvalidInput("invalid_stac_item", f"the table's STAC item would not be valid: {error}.") from error
