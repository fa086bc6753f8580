"""JSON Schema as OGC API - Processes, Part 1 takes it: that of OpenAPI 3.0, without references."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

Json = dict[str, Any]
NULL = {"type": "null"}
LEFT_OUT = ("$defs", "examples", "propertyNames")


def ogc_schema(model: type[BaseModel], mode: JsonSchemaMode) -> Json:
    schema = model.model_json_schema(mode=mode)
    return in_place(schema, schema.get("$defs", {}))


def in_place(schema: Json, defs: Mapping[str, Json]) -> Json:
    """What 2020-12 says otherwise than OpenAPI 3.0 is said in its words; what it cannot say is left out."""
    if "$ref" in schema:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return in_place(defs[schema["$ref"].rpartition("/")[2]] | beside, defs)
    told = {name: value for name, value in schema.items() if name not in LEFT_OUT}
    if "const" in told:
        told["enum"] = [told.pop("const")]
    if "prefixItems" in told:
        told["items"] = told.pop("prefixItems")[0]
    for limit in ("exclusiveMinimum", "exclusiveMaximum"):
        if limit in told:
            told[limit.removeprefix("exclusive").lower()] = told[limit]
            told[limit] = True
    if NULL in told.get("anyOf", []):
        told["nullable"] = True
        told["anyOf"] = [choice for choice in told["anyOf"] if choice != NULL]
    for name in ("items", "additionalProperties"):
        if isinstance(told.get(name), dict):
            told[name] = in_place(told[name], defs)
    if "properties" in told:
        told["properties"] = {name: in_place(value, defs) for name, value in told["properties"].items()}
    if "anyOf" in told:
        choices = [in_place(choice, defs) for choice in told.pop("anyOf")]
        told = choices[0] | told if len(choices) == 1 else told | {"anyOf": choices}
    return told
