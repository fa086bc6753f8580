"""How an HTTP endpoint is declared: its route, and with it everything that /api/openapi.json tells of it.

class JobsQuery(Query):
    limit: WholeNumber = Field(default=50, ge=1, le=200)

class Jobs(Answer):
    jobs: list[ListedJob]

@endpoint(bp, "GET", "jobs", tag=Tag.JOBS, query=JobsQuery, answers={200: Jobs}, problems={400: [...]})
def list_jobs(req: func.HttpRequest) -> func.HttpResponse:
    '''The first line is the summary.

    The rest is the description.
    '''
    return json_response(Jobs(jobs=listed(query_of(JobsQuery, req).limit)))
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import azure.functions as func
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import InvalidInput
from triggers.http import Endpoint as Function
from triggers.http import edge

Q = TypeVar("Q", bound="Query")
JSON = "application/json"

JobId = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="As the submission answered it.")]


class Tag(StrEnum):
    """The chapters of the documentation."""

    UPLOADS = "Uploads"
    JOBS = "Jobs"
    TABLES = "Tables"
    PROCESSES = "OGC API Processes"
    CLEANUP = "Cleanup"
    HEALTH = "Health"
    PAGES = "Pages"
    DOCS = "Documentation"


def sendable(params: type[BaseModel]) -> Any:
    """The type of a body, which may be left out when none of its fields is needed."""
    needs = any(field.is_required() for field in params.model_fields.values())
    return params if needs else params | None


class Answer(BaseModel):
    """A body as a client sees it. What its model does not name cannot be answered."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


class Query(BaseModel):
    """The query parameters of an endpoint. Others are ignored, the function key's among them."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def whole(value: Any) -> Any:
    if isinstance(value, str) and not value.isdecimal():
        raise ValueError("this is no whole number")
    return value


def flag(value: Any) -> Any:
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        if value.lower() not in known:
            raise ValueError("this is neither true nor false")
        return known[value.lower()]
    return value


WholeNumber = Annotated[int, BeforeValidator(whole)]
Flag = Annotated[bool, BeforeValidator(flag)]


@dataclass(frozen=True)
class Told:
    """An answer. body: a type pydantic knows, or several by media type; None: there is no body."""

    body: Any = None
    headers: tuple[str, ...] = ()
    says: str = ""

    @property
    def content(self) -> Mapping[str, Any]:
        if self.body is None:
            return {}
        return self.body if isinstance(self.body, Mapping) else {JSON: self.body}


@dataclass(frozen=True)
class Variant:
    """One value of a path parameter under which the endpoint takes a body of its own, or answers one."""

    value: str
    body: Any = None
    answers: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """path: types of path parameters. body: a type, or a type and None where it may be left out; several by media type.
    problems: the codes of each status but 500 and 503."""

    function: Function
    method: str
    route: str
    tag: Tag
    answers: Mapping[int, Any]
    problems: Mapping[int, Sequence[str]]
    path: Mapping[str, Any]
    query: type[Query] | None
    body: Any
    variants: tuple[str, Sequence[Variant]] | None
    anonymous: bool


@dataclass(frozen=True)
class Mount:
    """An API of its own under a catch-all route. service: where its own description is, below the API's root."""

    route: str
    title: str
    service: str


ENDPOINTS: list[Endpoint] = []
MOUNTS: list[Mount] = []


def endpoint(
    bp: func.Blueprint,
    method: str,
    route: str,
    *,
    tag: Tag,
    answers: Mapping[int, Any],
    problems: Mapping[int, Sequence[str]] | None = None,
    path: Mapping[str, Any] | None = None,
    query: type[Query] | None = None,
    body: Any = None,
    variants: tuple[str, Sequence[Variant]] | None = None,
    anonymous: bool = False,
) -> Callable[[Function], Any]:
    """Register a function at its route, behind the edge, and describe it. Its docstring is the description.

    answers: types, or Told, by status. variants: a path parameter's name, and what is different by its value.
    """

    def declare(function: Function) -> Any:
        types = {"job_id": JobId} | dict(path or {})
        ENDPOINTS.append(
            Endpoint(function, method, route, tag, answers, problems or {}, types, query, body, variants, anonymous)
        )
        level = func.AuthLevel.ANONYMOUS if anonymous else None
        return bp.route(route=route, methods=[method], auth_level=level)(edge(function))

    return declare


def mounted(route: str, title: str, service: str) -> None:
    """Name an API that describes itself, and is linked only."""
    MOUNTS.append(Mount(route, title, service))


def query_of(model: type[Q], req: func.HttpRequest) -> Q:
    """Raises InvalidInput("invalid_parameter") naming the first that is wrong."""
    try:
        return model.model_validate(dict(req.params))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name = str(wrong["loc"][0])
        detail = wrong["msg"].removeprefix("Value error, ")
        raise InvalidInput("invalid_parameter", f"{name}: {detail}.", parameter=name) from None
