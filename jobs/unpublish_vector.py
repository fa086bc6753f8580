"""A published table taken back, with its metadata and its STAC item."""

from collections.abc import Sequence

from core.models.unpublish import Unpublished, UnpublishParams, UnpublishVectorParams
from core.workflow import JobType, RunView, Stage
from services.vector.checks import table_key
from services.vector.unpublishing import can_be_taken_back, nothing_stands, unpublish_vector


def one_table(_run: RunView) -> Sequence[UnpublishParams]:
    return [UnpublishParams()]


def told(run: RunView) -> Unpublished:
    result: Unpublished = run.results("unpublish")[0]
    return result


UNPUBLISH_VECTOR = JobType(
    "unpublish_vector",
    params=UnpublishVectorParams,
    checks=(can_be_taken_back,),
    stages=(Stage("unpublish", task_type="unpublish_vector", run=unpublish_vector, plan=one_table),),
    finalize=told,
    exclusive_key=table_key,
    stands=nothing_stands,
    title="A published table taken back, with its metadata and its STAC item",
)
