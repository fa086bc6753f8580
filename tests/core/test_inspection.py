"""Looking before submitting: everything wrong with a request is found at once, and nothing is written."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import Conflict, InvalidInput, NotFound, Refusal, Transient, Unavailable
from core.inspection import Inspections, understood
from core.workflow import Inspection, JobType, Look, Registry
from tests.core.conftest import Orchestra


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1)
    table: str = Field(pattern="^[a-z]+$")
    n: int = 1
    x: str | None = None
    y: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def pair(self) -> "Request":
        if (self.x is None) != (self.y is None):
            raise ValueError("x and y go together")
        return self


class Facts(BaseModel):
    file: str
    etag: str


def look(params: Request, source: Mapping[str, Any], _resources: object) -> Look:
    return Look(Facts(file=params.file, etag=source["etag"]), [Refusal("broken", "it is broken.")])


LOOKING = Inspection(look, stand_ins={"table": "a", "x": None, "y": None})


def refuse(error: Exception) -> Any:
    def check(_params: object, _resources: object) -> None:
        raise error

    return check


def looked_at(orchestra: Orchestra, **changes: Any) -> JobType:
    """The job type `steps`, with an input to look at."""
    job_type = replace(
        orchestra.machine.registry["steps"],
        params=Request,
        source=lambda params, _: {"etag": params.file},
        inspection=LOOKING,
        **changes,
    )
    orchestra.machine.registry = Registry(job_type)
    return job_type


def inspect(orchestra: Orchestra, **given: Any) -> dict[str, Any]:
    return Inspections(orchestra.submissions, patience=0.1).inspect("steps", given)


def codes(answer: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    return [(refusal["code"], refusal["parameter"], refusal["by"]) for refusal in answer["refusals"]]


def wrong(orchestra: Orchestra, **given: Any) -> tuple[set[str | None], set[str], bool]:
    """What is told to be wrong, what had to be replaced, and whether there is something to look at."""
    request = understood(looked_at(orchestra), LOOKING, given)
    return {refusal.parameter for refusal in request.refusals}, set(request.replaced), request.params is not None


GOOD = {"file": "f", "table": "t"}


@pytest.mark.parametrize(
    ("given", "parameters", "replaced", "is_seen"),
    [
        (GOOD, set(), set(), True),
        (GOOD | {"colour": 1, "n": "x"}, {"colour", "n"}, {"colour", "n"}, True),
        ({"file": "f"}, {"table"}, {"table"}, True),
        (GOOD | {"x": "a"}, {"body"}, {"x", "y"}, True),
        (GOOD | {"table": "T", "x": "a"}, {"table", "body"}, {"table", "x", "y"}, True),
        (GOOD | {"x": 7, "y": "b"}, {"x"}, {"x", "y"}, True),
        ({"table": "t"}, {"file"}, {"file"}, False),
        ({"file": "", "table": "T", "n": []}, {"file", "table", "n"}, {"file", "table", "n"}, False),
    ],
)
def test_one_wrong_parameter_does_not_hide_another(
    orchestra: Orchestra, given: dict[str, Any], parameters: set[str], replaced: set[str], is_seen: bool
) -> None:
    assert wrong(orchestra, **given) == (parameters, replaced, is_seen)


def test_checks_and_the_look_all_have_their_say(orchestra: Orchestra) -> None:
    looked_at(
        orchestra,
        checks=(
            refuse(InvalidInput("taken", "taken.", parameter="table")),
            refuse(NotFound("gone", code="gone")),
            refuse(Conflict("busy", code="busy")),
        ),
    )
    answer = inspect(orchestra, **GOOD)
    assert codes(answer) == [
        ("taken", "table", "submission"),
        ("gone", None, "submission"),
        ("busy", None, "submission"),
        ("broken", None, "job"),
    ]
    assert (answer["file"], answer["etag"], answer["would_be_accepted"]) == ("f", "f", False)


def test_what_a_stand_in_is_refused_for_is_not_told(orchestra: Orchestra) -> None:
    looked_at(orchestra, checks=(refuse(InvalidInput("taken", "taken.", parameter="table")),))
    assert codes(inspect(orchestra, file="f"))[0] == ("invalid_parameters", "table", "submission")
    assert "taken" not in [code for code, _, _ in codes(inspect(orchestra, file="f"))]


def test_without_the_input_there_is_no_look_but_there_are_checks(orchestra: Orchestra) -> None:
    job_type = looked_at(orchestra, checks=(refuse(InvalidInput("taken", "taken.", parameter="table")),))
    missing = replace(job_type, source=refuse(InvalidInput("no_blob", "no blob.", parameter="file")))
    orchestra.machine.registry = Registry(missing)
    answer = inspect(orchestra, **GOOD)
    assert [code for code, _, _ in codes(answer)] == ["no_blob", "taken"]
    assert "etag" not in answer


def test_a_job_that_holds_the_key_is_told(orchestra: Orchestra) -> None:
    looked_at(orchestra)
    orchestra.submissions.submit("steps", GOOD | {"key": "k"})
    assert ("table_busy", None, "submission") in codes(inspect(orchestra, **GOOD, key="k", n=2))
    assert inspect(orchestra, **GOOD, key="k")["refusals"][0]["code"] == "broken"


def test_an_outage_is_not_a_refusal(orchestra: Orchestra) -> None:
    looked_at(orchestra, checks=(refuse(Unavailable("away")),))
    with pytest.raises(Unavailable):
        inspect(orchestra, **GOOD)


def test_a_job_type_without_an_input_cannot_be_looked_at(orchestra: Orchestra) -> None:
    with pytest.raises(InvalidInput) as refused:
        inspect(orchestra, **GOOD)
    assert refused.value.code == "not_inspectable"


def test_one_at_a_time_and_the_others_do_not_wait_for_long(orchestra: Orchestra) -> None:
    job_type = looked_at(orchestra)
    begun, go_on = threading.Event(), threading.Event()

    def slow(params: Request, source: Mapping[str, Any], resources: object) -> Look:
        begun.set()
        assert go_on.wait(10)
        return look(params, source, resources)

    assert job_type.inspection is not None
    orchestra.machine.registry = Registry(replace(job_type, inspection=replace(job_type.inspection, look=slow)))
    inspections = Inspections(orchestra.submissions, patience=0.1)
    first = threading.Thread(target=inspections.inspect, args=("steps", GOOD))
    first.start()
    assert begun.wait(10)
    with pytest.raises(Transient) as busy:
        inspections.inspect("steps", GOOD)
    assert busy.value.code == "inspection_busy"
    go_on.set()
    first.join()
    assert inspections.inspect("steps", GOOD)["file"] == "f"
