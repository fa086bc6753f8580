"""The parameters of process_vector as options. A function's parameter is called as the app calls it."""

import json
from inspect import signature
from typing import Annotated, Any, get_args

from typer import BadParameter, Option

from vector_etl.models import Json

READING, TABLE, ABOUT, TELLING = "How to read the file", "The table", "Metadata", "Tell somebody"


def parameters(
    *,
    layer_name: Annotated[
        str | None, Option("--layer", help="Layer, sheet, or data set of a zip.", rich_help_panel=READING)
    ] = None,
    file_extension: Annotated[
        str | None,
        Option("--extension", help="The format, where the name does not tell: csv, gpkg ...", rich_help_panel=READING),
    ] = None,
    lat_name: Annotated[str | None, Option("--lat", help="Column with latitudes.", rich_help_panel=READING)] = None,
    lon_name: Annotated[str | None, Option("--lon", help="Column with longitudes.", rich_help_panel=READING)] = None,
    wkt_column: Annotated[str | None, Option("--wkt", help="Column with WKT.", rich_help_panel=READING)] = None,
    wkb_column: Annotated[str | None, Option("--wkb", help="Column with WKB.", rich_help_panel=READING)] = None,
    source_crs: Annotated[
        str | None, Option("--crs", help="CRS of the coordinates, e.g. EPSG:25832.", rich_help_panel=READING)
    ] = None,
    encoding: Annotated[
        str | None, Option("--encoding", help="Of the text, e.g. cp1252.", rich_help_panel=READING)
    ] = None,
    delimiter: Annotated[str | None, Option("--delimiter", help="Of a text file.", rich_help_panel=READING)] = None,
    quote: Annotated[str | None, Option("--quote", help="Of a text file.", rich_help_panel=READING)] = None,
    decimal: Annotated[str | None, Option("--decimal", help="Of a text file: . or ,", rich_help_panel=READING)] = None,
    schema: Annotated[
        str | None, Option("--schema", help="Of the table; geo when left out.", rich_help_panel=TABLE)
    ] = None,
    cluster: Annotated[
        bool, Option("--cluster", help="Rows along a Hilbert curve, for boxes.", rich_help_panel=TABLE)
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace a table that is there.", rich_help_panel=TABLE)
    ] = False,
    geometry_type: Annotated[
        str | None, Option("--geometry-type", help="auto: one type for all rows; any.", rich_help_panel=TABLE)
    ] = None,
    max_reject_percent: Annotated[
        float | None, Option("--max-reject-percent", help="How many rows may be rejected.", rich_help_panel=TABLE)
    ] = None,
    tolerance: Annotated[
        float | None, Option("--simplify", help="Tolerance in degrees.", rich_help_panel=TABLE)
    ] = None,
    preserve_topology: Annotated[
        bool | None,
        Option("--preserve-topology/--no-preserve-topology", help="While simplifying.", rich_help_panel=TABLE),
    ] = None,
    snap_to_grid: Annotated[
        float | None, Option("--snap-to-grid", help="Cell in degrees.", rich_help_panel=TABLE)
    ] = None,
    chunk_size: Annotated[int | None, Option("--chunk-size", help="Rows in a chunk.", rich_help_panel=TABLE)] = None,
    spatial: Annotated[
        bool | None,
        Option("--spatial-index/--no-spatial-index", help="There is one by default.", rich_help_panel=TABLE),
    ] = None,
    attributes: Annotated[
        list[str] | None, Option("--index", help="Index this column; may come again.", rich_help_panel=TABLE)
    ] = None,
    temporal: Annotated[
        list[str] | None, Option("--temporal-index", help="The same for dates.", rich_help_panel=TABLE)
    ] = None,
    title: Annotated[str | None, Option("--title", rich_help_panel=ABOUT)] = None,
    description: Annotated[str | None, Option("--description", rich_help_panel=ABOUT)] = None,
    attribution: Annotated[str | None, Option("--attribution", rich_help_panel=ABOUT)] = None,
    license: Annotated[str | None, Option("--license", rich_help_panel=ABOUT)] = None,
    keywords: Annotated[list[str] | None, Option("--keyword", help="May come again.", rich_help_panel=ABOUT)] = None,
    temporal_property: Annotated[
        str | None, Option("--temporal-property", help="Column with the time of a row.", rich_help_panel=ABOUT)
    ] = None,
    notify_url: Annotated[
        str | None, Option("--notify-url", help="Is told how the job ends.", rich_help_panel=TELLING)
    ] = None,
    notify_events: Annotated[
        list[str] | None, Option("--notify-event", help="Of these only; may come again.", rich_help_panel=TELLING)
    ] = None,
    param: Annotated[
        list[str] | None,
        Option("--param", metavar="NAME=JSON", help="Any other parameter of the app.", rich_help_panel=TABLE),
    ] = None,
) -> Json:
    """What was given, as the app takes it."""
    given = {
        **{name: value for name, value in locals().items() if name in PLAIN},
        "cluster": cluster or None,
        "overwrite": overwrite or None,
        "converter_params": {"delimiter": delimiter, "quote": quote, "decimal": decimal},
        "geometry_params": {
            "simplify": {"tolerance": tolerance, "preserve_topology": preserve_topology},
            "quantize": {"snap_to_grid": snap_to_grid},
        },
        "indexes": {"spatial": spatial, "attributes": attributes, "temporal": temporal},
        "notify": {"url": notify_url, "events": notify_events},
    }
    return compact(given) | dict(named(text) for text in param or [])


PLAIN = (
    *("layer_name", "file_extension", "lat_name", "lon_name", "wkt_column", "wkb_column", "source_crs", "encoding"),
    *("schema", "geometry_type", "max_reject_percent", "chunk_size", "title", "description", "attribution", "license"),
    *("keywords", "temporal_property"),
)


def compact(given: Json) -> Json:
    """Without what is empty."""
    inner = {name: compact(value) if isinstance(value, dict) else value for name, value in given.items()}
    return {name: value for name, value in inner.items() if value not in (None, {}, [])}


def named(text: str) -> tuple[str, Any]:
    """NAME=JSON; what is no JSON is text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadParameter(f"{text!r} is not NAME=JSON", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def option_of(parameter: str) -> str | None:
    """How the command line calls a parameter of the app: `converter_params.quote` is --quote."""
    last = parameter.rpartition(".")[2]
    return OPTIONS.get(last)


def option_names() -> dict[str, str]:
    options = {name: get_args(found.annotation)[1] for name, found in signature(parameters).parameters.items()}
    return {name: option.default.split("/")[0] for name, option in options.items()}


OPTIONS = option_names() | {"table_name": "--table", "blob_name": "--blob", "container_name": "--container"}
