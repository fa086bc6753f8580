"""The app's calls, typed."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from vector_etl.errors import JobCancelled, JobEnded, JobFailed, NotConnected, UnknownAnswer, api_error
from vector_etl.models import (
    Inspection,
    Job,
    Json,
    ProcessVector,
    Reject,
    Submitted,
    Uploaded,
    UploadPlace,
)
from vector_etl.packing import one_file
from vector_etl.transport import Transport, retry_after
from vector_etl.uploading import PIECE, Closed, Pieces, Progress, put_into_storage, put_through_app, size_of

M = TypeVar("M", bound=BaseModel)
GEOJSON, CSV = "application/geo+json", "text/csv"
# A job that moves on is looked at as often as the app says, one that does not ever more rarely.
BACKING_OFF, RAREST_SECONDS = 1.5, 15.0


class Client:
    """Whatever goes wrong is a `vector_etl.ClientError`. To be used from one thread at a time; close it, or use it as a
    context manager."""

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 120, attempts: int = 4) -> None:
        """url: of the app, with or without /api. key: a function key. attempts: how often a call is made at most, when
        the app is away for a moment."""
        self.base_url = url.rstrip("/").removesuffix("/api")
        self.key = key
        limits = httpx.Timeout(timeout, connect=10)
        try:
            self._http = httpx.Client(
                base_url=f"{self.base_url}/api/", headers={"x-functions-key": key} if key else {}, timeout=limits
            )
        except (httpx.InvalidURL, UnicodeError, TypeError) as error:
            raise NotConnected(f"{url!r} is not a URL: {error}") from None
        # The key is for the app alone.
        self._stranger = httpx.Client(timeout=limits)
        self._app = Transport(self._http, attempts)
        self._storage = Transport(self._stranger, attempts)

    def close(self) -> None:
        self._http.close()
        self._stranger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Files

    def upload(
        self, path: Path | str, *, progress: Callable[[int, int], None] | None = None, through_app: bool = False
    ) -> Uploaded:
        """Put a file into the bronze zone; a shapefile with its sidecars, or a .gdb folder, as one zip.

        progress(bytes sent, bytes in all). through_app: do not try to reach the storage account.
        """
        with one_file(Path(path)) as file:
            size = size_of(file)
            pieces = Pieces(file, size)
            report: Progress = (lambda sent: progress(sent, size)) if progress else lambda _sent: None
            return self._put_small(pieces, report) if size <= PIECE else self._put(pieces, report, through_app)

    def _put_small(self, pieces: Pieces, report: Progress) -> Uploaded:
        answer = self._send("POST", "uploads", params={"file_name": pieces.path.name}, content=pieces[0])
        report(pieces.size)
        return read(Uploaded, answer)

    def _put(self, pieces: Pieces, report: Progress, through_app: bool) -> Uploaded:
        asked = {"file_name": pieces.path.name, "size": pieces.size}
        place = read(UploadPlace, self._send("POST", "uploads", json=asked))
        try:
            if not through_app:
                return put_into_storage(self._storage, place, pieces, report)
        except Closed:
            report(0)
        try:
            return put_through_app(self._app, place, pieces, report)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    # Jobs

    def inspect(self, request: ProcessVector | Mapping[str, Any]) -> Inspection:
        """What the app makes of the file, and all that it would refuse. Writes nothing."""
        return read(Inspection, self._send("POST", "jobs/inspect/process_vector", json=body_of(request)))

    def submit(self, request: ProcessVector | Mapping[str, Any], job_type: str = "process_vector") -> Submitted:
        """The same request on the same bytes is the same job."""
        return read(Submitted, self._send("POST", f"jobs/submit/{job_type}", json=body_of(request)))

    def load(self, path: Path | str, table_name: str, **parameters: Any) -> Job:
        """Upload a file, load it into a table and wait. Raises JobFailed, JobCancelled."""
        blob_name = self.upload(path).blob_name
        return self.wait(self.submit({"blob_name": blob_name, "table_name": table_name} | parameters).job_id)

    def unpublish(self, table_name: str, schema: str | None = None) -> Submitted:
        """Take back a table that the app published: the table, its metadata and its STAC item."""
        return self.submit({"table_name": table_name} | ({"schema": schema} if schema else {}), "unpublish_vector")

    def status(self, job_id: str, *, verbose: bool = False) -> Job:
        return read(Job, self._send("GET", f"jobs/status/{job_id}", params={"verbose": "true"} if verbose else None))

    def jobs(self, *, status: str | None = None, job_type: str | None = None, limit: int = 50) -> Iterator[Job]:
        """Newest first."""
        asked = {"status": status, "job_type": job_type}
        query: dict[str, Any] = {name: value for name, value in asked.items() if value}
        while limit > 0:
            page = self._send("GET", "jobs", params=query | {"limit": min(limit, 200)}).json()
            for told in page["jobs"]:
                yield parsed(Job, told)
            limit -= len(page["jobs"])
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def follow(self, job_id: str) -> Iterator[Job]:
        """The job again and again, the last time when it has ended. Asks as often as the app says, and ever more rarely
        while nothing moves."""
        seen, rarer = None, 1.0
        while True:
            answer = self._send("GET", f"jobs/status/{job_id}")
            job = read(Job, answer)
            yield job
            if job.has_ended:
                return
            rarer = 1.0 if job.progress != seen else rarer * BACKING_OFF
            seen = job.progress
            self._app.sleep(min((retry_after(answer.headers) or 1.0) * rarer, RAREST_SECONDS))

    def wait(self, job_id: str) -> Job:
        """The completed job. Raises JobFailed, JobCancelled."""
        *_, job = self.follow(job_id)
        if job.status != "completed":
            raise how_it_ended(job)
        return job

    def cancel(self, job_id: str) -> Json:
        return object_of(self._send("POST", f"jobs/cancel/{job_id}"))

    def retry(self, job_id: str) -> Submitted:
        """The next run of a failed or cancelled job. Raises Conflict for any other, and for changed bytes."""
        return read(Submitted, self._send("POST", f"jobs/retry/{job_id}", repeatable=False))

    def rejects(self, job_id: str) -> Iterator[Reject]:
        """The rows that the job's last run did not load, in the order of the source."""
        for page in self.reject_pages(job_id, GEOJSON):
            for feature in page.json()["features"]:
                yield parsed(Reject, feature["properties"])

    def reject_pages(self, job_id: str, media_type: str = GEOJSON) -> Iterator[httpx.Response]:
        """The same as the app answers it: pages of GeoJSON, or of CSV, each with its header."""
        after: Mapping[str, Any] = {"limit": 10_000}
        while True:
            page = self._send("GET", f"jobs/rejects/{job_id}", params=after, headers={"Accept": media_type})
            yield page
            if "next" not in page.links:
                return
            after = dict(httpx.URL(page.links["next"]["url"]).params)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._app.send(method, path, **options)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if not answer.is_success:
            raise api_error(answer)
        return answer

    def _unreachable(self, error: Exception) -> NotConnected:
        return NotConnected(f"{self.base_url} does not answer: {error}")


def how_it_ended(job: Job) -> JobEnded:
    return JobFailed(job) if job.status == "failed" else JobCancelled(job)


def body_of(request: ProcessVector | Mapping[str, Any]) -> Json:
    return request.body() if isinstance(request, ProcessVector) else dict(request)


def object_of(answer: httpx.Response) -> Json:
    """Raises UnknownAnswer when it is none: somebody else than the app answers at that URL."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise UnknownAnswer(f"{answer.request.url.copy_with(query=None)} answered no JSON; is the URL that of the app?")
    return told


def read(model: type[M], answer: httpx.Response) -> M:
    return parsed(model, object_of(answer))


def parsed(model: type[M], told: Any) -> M:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, wrong["loc"])) for wrong in error.errors())
        raise UnknownAnswer(f"the app's answer is not as this client knows it ({model.__name__}: {where})") from error
