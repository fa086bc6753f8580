"""Greetings and replies: the orchestration without a payload."""

import random

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Transient
from core.workflow import TaskContext


class HelloWorldParams(BaseModel):
    """failure_rate: how likely one attempt at a greeting fails, as a passing fault would."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"n": 3, "message": "Hello"}]}
    )

    n: int = Field(default=3, ge=1, le=1000)
    message: str = Field(default="Hello", min_length=1, max_length=1000)
    failure_rate: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)


class GreetingParams(BaseModel):
    index: int


class Greeting(BaseModel):
    index: int
    greeting: str


class ReplyParams(BaseModel):
    greeting: str


class Reply(BaseModel):
    reply: str


class HelloWorldResult(BaseModel):
    greetings: int
    replies: int
    first_reply: str


def greet(task: GreetingParams, ctx: TaskContext) -> Greeting:
    params: HelloWorldParams = ctx.params
    if random.random() < params.failure_rate:
        raise Transient(f"greeting {task.index} failed, as asked for by failure_rate", code="simulated_failure")
    return Greeting(index=task.index, greeting=f"{params.message} from task {task.index}")


def reply(task: ReplyParams, ctx: TaskContext) -> Reply:  # noqa: ARG001  every handler gets the context
    return Reply(reply=f"Reply to: {task.greeting}")
