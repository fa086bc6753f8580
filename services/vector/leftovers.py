"""What runs of process_vector leave in the world, and how it is removed."""

import re
from collections.abc import Iterator

from infrastructure.resources import Resources
from services.vector.postgis_handler import VectorToPostGISHandler
from services.vector.rejects import forget_outdated, outdated_runs

CHUNKS = "chunks/"
CHUNK = re.compile(r"chunks/(?P<job_id>[0-9a-f]{64})/(?P<run>\d+)/")


def chunk_prefix(job_id: str, run: int) -> str:
    """Where a run's chunks are in the silver zone."""
    return f"{CHUNKS}{job_id}/{run}/"


def release(job_id: str, run: int, resources: Resources) -> None:
    """Remove the run's chunks, its staging table when it was not published, and the job's outdated rejects. Twice
    changes nothing."""
    resources.silver.delete_under(chunk_prefix(job_id, run))
    VectorToPostGISHandler(resources.database).drop_staging(job_id, run)
    with resources.database.transaction() as tx:
        forget_outdated(tx, job_id)


def leftovers(resources: Resources) -> Iterator[tuple[str, int]]:
    """(job_id, run) of every run with chunks, a staging table or outdated rejects, whether it has ended or not."""
    yield from VectorToPostGISHandler(resources.database).staged_runs()
    with resources.database.transaction() as tx:
        yield from outdated_runs(tx)
    found = map(CHUNK.match, resources.silver.names(CHUNKS))
    yield from dict.fromkeys((match["job_id"], int(match["run"])) for match in found if match)
