"""CQL2 filters that name only what is published: tipg hands any function and any name on to Postgres."""

from typing import Annotated, Any

import cql2
from fastapi import Depends, Query
from tipg.collections import Collection
from tipg.dependencies import FilterLang

from core.errors import InvalidInput
from triggers.serving.published import published_collection

# Of CQL2: https://docs.ogc.org/is/21-065r2/21-065r2.html
LOGIC = ("and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "isnull", "like", "between", "in", "casei", "accenti")
ARITHMETIC = ("+", "-", "*", "/", "^", "%", "div")
SPATIAL = ("s_intersects", "s_equals", "s_disjoint", "s_touches", "s_within", "s_overlaps", "s_crosses", "s_contains")
INTERVALS = ("t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedby", "t_finishes")
RELATIONS = ("t_intersects", "t_meets", "t_metby", "t_overlappedby", "t_overlaps", "t_startedby", "t_starts")
ARRAY = ("a_containedby", "a_contains", "a_equals", "a_overlaps")
OPERATORS = {*LOGIC, *ARITHMETIC, *SPATIAL, *INTERVALS, *RELATIONS, *ARRAY}


async def published_filter(
    collection: Annotated[Collection, Depends(published_collection)],
    text: Annotated[str | None, Query(alias="filter", description="CQL2 filter")] = None,
    language: Annotated[FilterLang | None, Query(alias="filter-lang", description="cql2-text or cql2-json")] = None,
) -> Any:
    """Takes the place of tipg's `filter_query`. Raises InvalidInput when it is not CQL2, or names anything but the
    standard's operators and the collection's columns."""
    if text is None:
        return None
    is_json = language == "cql2-json" or text.lstrip().startswith("{")
    try:
        told = (cql2.parse_json if is_json else cql2.parse_text)(text).to_json()
    except cql2.ParseError as error:
        raise InvalidInput("invalid_parameter", f"the filter is not CQL2: {error}.", parameter="filter") from error
    refuse_strangers(told, {column.name for column in collection.properties})
    # Again, from JSON: cql2 gives geometries their SRID only then.
    return cql2.Expr(told)


def refuse_strangers(told: Any, columns: set[str]) -> None:
    waiting = [told]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            waiting += node if isinstance(node, list) else []
            continue
        if "op" in node and str(node["op"]).lower() not in OPERATORS:
            raise InvalidInput("invalid_parameter", f"CQL2 has no operator {node['op']!r}.", parameter="filter")
        if "property" in node and node["property"] not in columns:
            raise InvalidInput("invalid_parameter", f"there is no property {node['property']!r}.", parameter="filter")
        waiting += node.values()
