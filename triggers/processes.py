"""OGC API - Processes, Part 1: Core (OGC 18-062r2): the job types as processes.

The root is the app's: /api/processes, which is the landing page too, /api/conformance; ogc_jobs has /api/jobs/{job_id}.
"""

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InvalidInput, InvalidParameters, NotFound
from core.workflow import JobType
from triggers.addresses import base_of
from triggers.endpoint import Query, Tag, Told, Variant, WholeNumber, endpoint, query_of, sendable
from triggers.get_job_status import JobTypeName
from triggers.http import json_object
from triggers.ogc_jobs import REL, Link, Ogc, StatusInfo, listed, ogc_response
from triggers.ogc_schema import Json, ogc_schema
from triggers.submit_job import REFUSALS, with_notify
from triggers.wiring import JOB_TYPES, submissions

P = TypeVar("P")
bp = func.Blueprint()

CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
CLASSES = [f"{CONFORMANCE}/{name}" for name in ("core", "ogc-process-description", "json", "dismiss")]
QUALIFIED = {"value", "mediaType", "encoding", "schema"}


class Conformance(Ogc):
    conforms_to: list[str] = Field(alias="conformsTo")


class ProcessSummary(Ogc):
    id: str
    title: str
    version: str = "1.0.0"
    job_control_options: list[str] = Field(default=["async-execute", "dismiss"], alias="jobControlOptions")
    output_transmission: list[str] = Field(default=["value"], alias="outputTransmission")
    links: list[Link]


class Input(Ogc):
    title: str
    description: str | None = None
    min_occurs: int = Field(alias="minOccurs")
    max_occurs: int = Field(default=1, alias="maxOccurs")
    schema_: Json = Field(alias="schema")


class Output(Ogc):
    title: str
    schema_: Json = Field(alias="schema")


class Process(ProcessSummary):
    inputs: dict[str, Input]
    outputs: dict[str, Output]


class ProcessList(Ogc):
    """The landing page, and the processes."""

    title: str = "Vector ETL"
    description: str = "Loads vector files from blob storage into PostGIS."
    processes: list[ProcessSummary]
    links: list[Link]


class ProcessesQuery(Query):
    limit: WholeNumber = Field(default=100, ge=1, le=1000)
    after: str = Field(default="", description="The id of a process: those behind it.")


class Wish(BaseModel):
    """How an output is wanted: by value, as there is no other way."""

    model_config = ConfigDict(extra="forbid")

    transmission_mode: Literal["value"] = Field(default="value", alias="transmissionMode")


def with_examples(schema: Json, model: Any) -> None:
    """Those of the submission that it stands for."""
    params = model.model_fields["inputs"].annotation
    schema["examples"] = [{"inputs": example} for example in params.model_json_schema()["examples"]]


class Execute(BaseModel, Generic[P]):
    """inputs: the parameters of a submission; one may be qualified, as {"value": ...}."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples)

    inputs: P
    outputs: dict[Literal["result"], Wish] = Field(default_factory=dict)
    response: Literal["document"] = "document"


class ExecuteAsIs(Execute[P], Generic[P]):
    """A process that needs no input."""

    inputs: P = Field(default_factory=dict)  # type: ignore[assignment]


def request_of(params: type[BaseModel]) -> Any:
    """The type of an execution's body."""
    generic: Any = Execute if sendable(params) is params else ExecuteAsIs
    return sendable(generic[params])


@endpoint(bp, "GET", "conformance", tag=Tag.PROCESSES, answers={200: Conformance})
def conformance(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The conformance classes of OGC API - Processes that are kept to."""
    return ogc_response(Conformance(conforms_to=CLASSES))


@endpoint(
    bp,
    "GET",
    "processes",
    tag=Tag.PROCESSES,
    query=ProcessesQuery,
    answers={200: ProcessList},
    problems={400: ["invalid_parameter"]},
)
def list_processes(req: func.HttpRequest) -> func.HttpResponse:
    """The landing page, with the list of processes."""
    query, root = query_of(ProcessesQuery, req), base_of(req)
    following = [name for name in JOB_TYPES.names if name > query.after]
    page, links = following[: query.limit], landing_links(root)
    if len(page) < len(following):
        links.append(Link(href=f"{root}/processes?limit={query.limit}&after={page[-1]}", rel="next"))
    return ogc_response(ProcessList(processes=[summary(root, JOB_TYPES[name]) for name in page], links=links))


@endpoint(
    bp,
    "GET",
    "processes/{process_id}",
    tag=Tag.PROCESSES,
    path={"process_id": JobTypeName},
    answers={200: Process},
    problems={404: ["process_not_found"]},
)
def describe_process(req: func.HttpRequest) -> func.HttpResponse:
    """What a process takes and gives."""
    job_type = process(req.route_params["process_id"])
    told = summary(base_of(req), job_type)
    output = Output(title="The job's result", schema_=ogc_schema(job_type.result_model, "serialization"))
    return ogc_response(Process(**dict(told), inputs=inputs_of(job_type), outputs={"result": output}))


@endpoint(
    bp,
    "POST",
    "processes/{process_id}/execution",
    tag=Tag.PROCESSES,
    variants=(
        "process_id",
        [Variant(job_type.name, body=request_of(with_notify(job_type.params))) for job_type in JOB_TYPES],
    ),
    answers={201: Told(StatusInfo, headers=("Location",), says="The job is followed at `Location`.")},
    problems={400: [*REFUSALS, "invalid_parameter"], 404: ["process_not_found"], 409: ["table_busy"]},
)
def execute_process(req: func.HttpRequest) -> func.HttpResponse:
    """Submit a job, always to be done asynchronously."""
    root, job_type = base_of(req), process(req.route_params["process_id"])
    _, job = submissions().submit(job_type.name, plain_inputs(executed(json_object(req)).inputs))
    headers = {"Location": f"{root}/jobs/{job.job_id}"}
    if "respond-async" in req.headers.get("Prefer", ""):
        headers["Preference-Applied"] = "respond-async"
    return ogc_response(listed(root, job), 201, headers)


def process(name: str) -> JobType:
    job_type = JOB_TYPES.get(name)
    if job_type is None:
        raise NotFound(f"there is no process {name!r}", code="process_not_found")
    return job_type


def executed(body: Json) -> ExecuteAsIs[dict[str, Any]]:
    try:
        return ExecuteAsIs[dict[str, Any]].model_validate(body)
    except ValidationError as error:
        raise InvalidParameters(
            [
                {"parameter": ".".join(map(str, wrong["loc"])), "code": wrong["type"], "detail": wrong["msg"]}
                for wrong in error.errors(include_url=False)
            ]
        ) from None


def plain_inputs(inputs: Mapping[str, Any]) -> Json:
    """Values, without what may qualify them."""
    for name, value in inputs.items():
        if isinstance(value, dict) and "href" in value:
            raise InvalidInput("invalid_parameter", f"{name} is taken by value only.", parameter=name)
    qualified = [
        name for name, value in inputs.items() if isinstance(value, dict) and {"value"} <= value.keys() <= QUALIFIED
    ]
    return {name: value["value"] if name in qualified else value for name, value in inputs.items()}


def landing_links(root: str) -> list[Link]:
    return [
        Link(href=f"{root}/processes", rel="self", title="This page"),
        Link(href=f"{root}/openapi.json", rel="service-desc", type="application/vnd.oai.openapi+json;version=3.1"),
        Link(href=f"{root}/docs", rel="service-doc", type="text/html", title="The API"),
        *(Link(href=f"{root}/conformance", rel=rel) for rel in ("conformance", f"{REL}/conformance")),
        Link(href=f"{root}/processes", rel=f"{REL}/processes"),
        Link(href=f"{root}/processes/jobs", rel=f"{REL}/job-list"),
    ]


def summary(root: str, job_type: JobType) -> ProcessSummary:
    here = f"{root}/processes/{job_type.name}"
    links = [Link(href=here, rel="self"), Link(href=f"{here}/execution", rel=f"{REL}/execute", title="POST to run it")]
    return ProcessSummary(id=job_type.name, title=job_type.title, links=links)


def inputs_of(job_type: JobType) -> dict[str, Input]:
    schema = ogc_schema(with_notify(job_type.params), "validation")
    return {
        name: Input(
            title=told.get("title", name),
            description=told.get("description"),
            min_occurs=int(name in schema.get("required", [])),
            schema_=told,
        )
        for name, told in schema["properties"].items()
    }
