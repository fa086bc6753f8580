"""A job type that exercises the orchestration alone."""

from collections.abc import Sequence

from core.workflow import JobType, RunView, Stage
from services.hello_world import GreetingParams, HelloWorldParams, HelloWorldResult, ReplyParams, greet, reply


def one_greeting_each(run: RunView) -> Sequence[GreetingParams]:
    return [GreetingParams(index=index) for index in range(run.params.n)]


def one_reply_per_greeting(run: RunView) -> Sequence[ReplyParams]:
    return [ReplyParams(greeting=greeting.greeting) for greeting in run.results("greetings")]


def count(run: RunView) -> HelloWorldResult:
    replies = run.results("replies")
    return HelloWorldResult(greetings=run.params.n, replies=len(replies), first_reply=replies[0].reply)


HELLO_WORLD = JobType(
    "hello_world",
    params=HelloWorldParams,
    stages=(
        Stage("greetings", task_type="hello_world_greeting", run=greet, plan=one_greeting_each),
        Stage("replies", task_type="hello_world_reply", run=reply, plan=one_reply_per_greeting),
    ),
    finalize=count,
    title="Greetings and replies: the orchestration without a payload",
)
