"""The OpenAPI document, made from what the endpoints declare and from the models that they read and answer with."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from triggers.endpoint import ENDPOINTS, JSON, MOUNTS, Endpoint, Mount, Tag, Told, Variant
from triggers.http import Problem

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]
PROBLEM_JSON = "application/problem+json"
READ: Mode = "validation"
WRITTEN: Mode = "serialization"

DESCRIPTION = (
    "Loads vector files from blob storage into PostGIS, reliably. A job is submitted, goes through its stages, and ends"
    " with a receipt that accounts for every row. What is wrong is told as a problem (RFC 9457) with a stable `code`."
)
CHAPTERS = {
    Tag.UPLOADS: "Put a file where a job finds it.",
    Tag.JOBS: "Submit, look before submitting, follow, cancel, retry; and the rows that were not loaded.",
    Tag.TABLES: "What was published and is there.",
    Tag.PROCESSES: "The same jobs as OGC API - Processes, Part 1: Core, 1.0.",
    Tag.CLEANUP: "The janitors, which find what a crash, a lost message or a timeout left behind.",
    Tag.HEALTH: "Is it alive, is it ready, how are its parts.",
    Tag.PAGES: "The dashboard and the maps: pages without data, which ask for a function key.",
    Tag.DOCS: "This description.",
}
HEADERS: dict[str, Json] = {
    "Location": {"description": "Where the job is followed.", "schema": {"type": "string", "format": "uri"}},
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}},
    "ETag": {"description": "What `If-None-Match` may name.", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, as rel="next", where there is one.', "schema": {"type": "string"}},
}
SECURITY = {
    "header": {"type": "apiKey", "in": "header", "name": "x-functions-key", "description": "A function or host key."},
    "query": {"type": "apiKey", "in": "query", "name": "code", "description": "The same, where no header can be set."},
}
COMMON = {500: "A defect of the app; its log has the details.", 503: "A service that it needs is away or busy."}


@dataclass(frozen=True)
class Operation:
    """An endpoint at one path: its own, or that of one of its variants."""

    endpoint: Endpoint
    variant: Variant | None = None

    @property
    def path(self) -> str:
        path = re.sub(r"\{\*(\w+)\}", r"{\1}", self.endpoint.route)
        if self.variant and self.endpoint.variants:
            path = path.replace(f"{{{self.endpoint.variants[0]}}}", self.variant.value)
        return f"/{path}"

    @property
    def name(self) -> str:
        name = self.endpoint.function.__name__
        return f"{name}_{self.variant.value}" if self.variant else name

    @property
    def body(self) -> Any:
        return self.variant.body if self.variant and self.variant.body else self.endpoint.body

    @property
    def bodies(self) -> Mapping[str, Any]:
        """By media type."""
        if self.body is None:
            return {}
        return self.body if isinstance(self.body, Mapping) else {JSON: bare(self.body)}

    @property
    def answers(self) -> Mapping[int, Told]:
        own = self.variant.answers if self.variant else {}
        given = {**self.endpoint.answers, **own}
        return {status: told if isinstance(told, Told) else Told(told) for status, told in given.items()}

    @property
    def path_types(self) -> Mapping[str, Any]:
        return {name: self.endpoint.path.get(name, str) for name in re.findall(r"\{(\w+)\}", self.path)}


class Schemas:
    """The JSON Schemas of all types together, so that each model stands there once."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        wanted = dict.fromkeys(wish for operation in operations for wish in wishes(operation))
        adapters = [(kind, mode, TypeAdapter(kind)) for kind, mode in [*wanted, (Problem, WRITTEN)]]
        found, rest = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
        self.by_type = found
        self.components: Json = rest.get("$defs", {})

    def of(self, kind: Any, mode: Mode) -> Json:
        return dict(self.by_type[kind, mode])


def wishes(operation: Operation) -> Iterator[tuple[Any, Mode]]:
    yield from ((kind, READ) for kind in operation.path_types.values())
    yield from ((kind, READ) for kind in operation.bodies.values())
    if operation.endpoint.query is not None:
        yield operation.endpoint.query, READ
    for told in operation.answers.values():
        yield from ((kind, WRITTEN) for kind in told.content.values())


def bare(kind: Any) -> Any:
    """The type that is None or nothing else."""
    choices = [choice for choice in get_args(kind) if choice is not type(None)]
    return choices[0] if type(None) in get_args(kind) else kind


def document(server: str, version: str) -> Json:
    """server: the path of the API's root, as the client reaches it."""
    operations = [operation for endpoint in ENDPOINTS for operation in operations_of(endpoint)]
    schemas = Schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.endpoint.method.lower()] = described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vector ETL", "version": version, "description": DESCRIPTION},
        "servers": [{"url": server}],
        "security": [{name: []} for name in SECURITY],
        "tags": [
            *({"name": tag, "description": text} for tag, text in CHAPTERS.items()),
            *(linked(mount, server) for mount in MOUNTS),
        ],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": SECURITY},
    }


def linked(mount: Mount, server: str) -> Json:
    return {
        "name": mount.title,
        "description": f"An API of its own under `{server}/{mount.route.partition('{')[0].rstrip('/')}`.",
        "externalDocs": {"description": "Its description", "url": f"{server}/{mount.service}"},
    }


def operations_of(endpoint: Endpoint) -> list[Operation]:
    return (
        [Operation(endpoint, variant) for variant in endpoint.variants[1]]
        if endpoint.variants
        else [Operation(endpoint)]
    )


def described(operation: Operation, schemas: Schemas) -> Json:
    endpoint = operation.endpoint
    text = inspect.getdoc(endpoint.function) or ""
    summary, _, rest = text.partition("\n\n")
    told: Json = {
        "operationId": operation.name,
        "tags": [endpoint.tag],
        "summary": " ".join(summary.split()),
        "description": " ".join(rest.split()),
        "parameters": [*path_parameters(operation, schemas), *query_parameters(endpoint, schemas)],
        "responses": responses(operation, schemas),
    }
    if operation.bodies:
        content = {media: {"schema": schemas.of(kind, READ)} for media, kind in operation.bodies.items()}
        told["requestBody"] = {"required": bare(operation.body) is operation.body, "content": content}
    return told | ({"security": []} if endpoint.anonymous else {})


def path_parameters(operation: Operation, schemas: Schemas) -> Iterator[Json]:
    for name, kind in operation.path_types.items():
        yield parameter(name, "path", schemas.of(kind, READ), required=True)


def query_parameters(endpoint: Endpoint, schemas: Schemas) -> Iterator[Json]:
    if endpoint.query is None:
        return
    model = schemas.of(endpoint.query, READ)
    # A model that is used elsewhere too is referred to.
    model = schemas.components[model["$ref"].rpartition("/")[2]] if "$ref" in model else model
    for name, schema in model["properties"].items():
        yield parameter(name, "query", without_null(schema), required=name in model.get("required", []))


def without_null(schema: Json) -> Json:
    """A query parameter that is not given is not null but absent."""
    if schema.get("default", ...) is not None:
        return schema
    choice: Json = next(choice for choice in schema["anyOf"] if choice != {"type": "null"})
    return choice | {name: value for name, value in schema.items() if name not in ("anyOf", "default")}


def parameter(name: str, place: str, schema: Json, *, required: bool) -> Json:
    text = schema.pop("description", "")
    return {"name": name, "in": place, "required": required, "description": text, "schema": schema}


def responses(operation: Operation, schemas: Schemas) -> Json:
    told = {str(status): response(status, answer, schemas) for status, answer in operation.answers.items()}
    told |= {str(status): problem(status, codes) for status, codes in operation.endpoint.problems.items()}
    if not operation.endpoint.anonymous:
        told["401"] = {"description": "The function key is missing or wrong. The host answers, without a body."}
    return told | {str(status): problem(status, (), text) for status, text in COMMON.items() if str(status) not in told}


def response(status: int, told: Told, schemas: Schemas) -> Json:
    content = {media: {"schema": schemas.of(kind, WRITTEN)} for media, kind in told.content.items()}
    return {
        "description": told.says or HTTPStatus(status).phrase,
        "headers": {name: HEADERS[name] for name in told.headers},
        **({"content": content} if content else {}),
    }


def problem(status: int, codes: Iterable[str], text: str = "") -> Json:
    fixed: Json = {"status": {"const": status}} | ({"code": {"enum": list(codes)}} if codes else {})
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "object", "properties": fixed}]}
    says = text or f"One of the codes {', '.join(f'`{code}`' for code in codes)}."
    return {"description": says, "content": {PROBLEM_JSON: {"schema": schema}}}
