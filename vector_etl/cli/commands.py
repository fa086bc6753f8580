"""vector-etl: load vector files into PostGIS through a running app."""

import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, BadParameter, Option

from vector_etl.cli.exits import Exit
from vector_etl.cli.following import follow, upload_bar
from vector_etl.cli.parameters import parameters
from vector_etl.cli.rejects import tell_rejects, write_rejects
from vector_etl.cli.session import Session, session
from vector_etl.cli.sharing import sharing
from vector_etl.cli.telling import grid, tell_inspection, tell_job
from vector_etl.client import how_it_ended
from vector_etl.errors import NotFound
from vector_etl.models import Inspection, Job, Json, ProcessVector, Refusal, Submitted

app = typer.Typer(
    name="vector-etl",
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 1 the app failed, 2 usage, 3 refused, 4 job failed, 5 job cancelled, 6 not reachable,"
    " 7 conflict, 8 no right, 9 not found, 130 interrupted (a job goes on). docs/client.md tells more.",
)
JOB_ID = 64

File = Annotated[Path | None, Argument(help="A file; of a shapefile its .shp, of a File Geodatabase its folder.")]
Blob = Annotated[str | None, Option("--blob", help="A file that is in the storage account already.")]
Container = Annotated[str | None, Option("--container", help="Where --blob is, when not in the bronze container.")]
ThroughApp = Annotated[bool, Option("--through-app", help="Do not upload straight into the storage account.")]
Follow = Annotated[bool, Option("--follow", "-f", help="Wait for the end, and tell it with the exit code.")]
JobId = Annotated[str, Argument(metavar="JOB", help="A job's id, or as much of its beginning as is needed.")]


@app.command()
@sharing(parameters=parameters, session=session)
def load(
    file: File = None,
    *,
    table: Annotated[str, Option("--table", "-t", help="The table to make.")],
    blob: Blob = None,
    container: Container = None,
    through_app: ThroughApp = False,
    no_inspect: Annotated[bool, Option("--no-inspect", help="Submit without a look before.")] = False,
    follow_it: Follow = False,
    parameters: Json,
    session: Session,
) -> None:
    """Load a file into a table: upload it, look at it, submit the job."""
    request = ProcessVector.model_validate(
        source(session, file, blob, container, through_app) | {"table_name": table} | parameters
    )
    if not no_inspect:
        told = session.client.inspect(request)
        refuse(session, request.blob_name, told, told.refusals)
    conclude(session, session.client.submit(request), follow_it)


@app.command()
@sharing(parameters=parameters, session=session)
def inspect(
    file: File = None,
    table: Annotated[str | None, Option("--table", "-t", help="The table it is meant for.")] = None,
    blob: Blob = None,
    container: Container = None,
    through_app: ThroughApp = False,
    *,
    parameters: Json,
    session: Session,
) -> None:
    """Look at a file: what would be loaded, and all that would be refused."""
    named = {"table_name": table} if table else {}
    request = source(session, file, blob, container, through_app) | named | parameters
    told = session.client.inspect(request)
    # Who has no table in mind yet asks about the file alone.
    refusals = [refusal for refusal in told.refusals if table or refusal.parameter != "table_name"]
    refuse(session, request["blob_name"], told, refusals)
    if session.as_json:
        session.document(told.model_dump(mode="json"))
    else:
        tell_inspection(session.out, told, [])
        session.say(f"It can be loaded, and is uploaded: give --blob {shlex.quote(request['blob_name'])} in its place.")


@app.command()
@sharing(session=session)
def jobs(
    status: Annotated[str | None, Option(help="queued, processing, completed, failed or cancelled.")] = None,
    job_type: Annotated[str | None, Option("--type", help="process_vector, unpublish_vector ...")] = None,
    limit: Annotated[int, Option(min=1)] = 20,
    *,
    session: Session,
) -> None:
    """List the jobs, newest first."""
    found = list(session.client.jobs(status=status, job_type=job_type, limit=limit))
    if session.as_json:
        session.document([job.model_dump(mode="json") for job in found])
        return
    rows = [
        (job.job_id[:12], job.status, job.job_type, table_of(job), f"{job.created_at:%Y-%m-%d %H:%M}") for job in found
    ]
    session.out.print(grid(("job", "status", "type", "table", "created"), rows))


@app.command()
@sharing(session=session)
def status(job: JobId, follow_it: Follow = False, *, session: Session) -> None:
    """Tell how a job is; with --follow until its end."""
    job_id = whole(session, job)
    if follow_it:
        end(session, follow(session, job_id))
    else:
        show(session, session.client.status(job_id))


@app.command()
@sharing(session=session)
def cancel(job: JobId, *, session: Session) -> None:
    """Stop a job; what it did is undone."""
    told = session.client.cancel(whole(session, job))
    if session.as_json:
        session.document(told)
    else:
        session.out.print(f"{told['job_id']} is {told['status']}", markup=False)


@app.command()
@sharing(session=session)
def retry(job: JobId, follow_it: Follow = False, *, session: Session) -> None:
    """Start a failed or cancelled job again, on the bytes that it was given."""
    conclude(session, session.client.retry(whole(session, job)), follow_it)


@app.command()
@sharing(session=session)
def rejects(
    job: JobId,
    output: Annotated[Path | None, Option("--output", "-o", help="Write them all into a .geojson or .csv.")] = None,
    limit: Annotated[int, Option(min=1, help="How many to show.")] = 20,
    *,
    session: Session,
) -> None:
    """Show the rows that a job did not load, and why."""
    job_id = whole(session, job)
    if output:
        session.say(f"{write_rejects(session.client, job_id, output):,} rejected rows are in {output}")
    else:
        tell_rejects(session, job_id, limit)


@app.command()
@sharing(session=session)
def unpublish(
    table: Annotated[str, Argument(help="parcels or geo.parcels")],
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask.")] = False,
    follow_it: Follow = False,
    *,
    session: Session,
) -> None:
    """Take a published table back: the table, its metadata and its STAC item."""
    schema, _, name = table.rpartition(".")
    if not yes:
        agree(f"Drop the table {table}, its metadata and its STAC item?")
    conclude(session, session.client.unpublish(name, schema or None), follow_it)


@app.command("open")
@sharing(session=session)
def open_page(
    what: Annotated[
        str | None, Argument(help="A table (geo.parcels) for its map, or a job; else the dashboard.")
    ] = None,
    *,
    session: Session,
) -> None:
    """Open the dashboard, a job's page or a table's map in the browser."""
    page = f"{session.client.base_url}/api/{page_of(session, what)}"
    if session.as_json:
        session.document({"url": page})
        return
    session.out.print(page, markup=False)
    # The page takes the key out of the fragment, which is never sent.
    key = f"#key={session.client.key}" if session.client.key else ""
    if not webbrowser.open(page + key):
        session.say("no browser could be opened")


def source(
    session: Session, file: Path | None, blob: str | None, container: str | None, through_app: bool
) -> dict[str, str]:
    """The file's place in the storage account, having put it there when it was here."""
    if (file is None) == (blob is None):
        raise BadParameter("give either a file or --blob", param_hint="FILE")
    if file is None:
        return {"blob_name": str(blob)} | ({"container_name": container} if container else {})
    with upload_bar(session, file.name) as progress:
        uploaded = session.client.upload(file, progress=progress, through_app=through_app)
    return {"blob_name": uploaded.blob_name, "container_name": uploaded.container_name}


def refuse(session: Session, blob_name: str, told: Inspection, refusals: list[Refusal]) -> None:
    """End here when the submission or the job would be refused."""
    if not refusals:
        return
    if session.as_json:
        session.document(told.model_dump(mode="json"))
    else:
        tell_inspection(session.complaints, told, refusals)
        session.say(f"The file is uploaded: give --blob {shlex.quote(blob_name)} in its place.")
    raise typer.Exit(Exit.REFUSED)


def conclude(session: Session, told: Submitted, follow_it: bool) -> None:
    """What a submission comes to: its job, at once or at its end."""
    session.say(f"{told.status}: job {told.job_id}")
    if follow_it:
        end(session, follow(session, told.job_id))
    elif session.as_json:
        session.document(told.model_dump(mode="json"))
    else:
        session.out.print(told.job_id, markup=False)
        session.say(f"Follow it: vector-etl status {told.job_id} --follow")


def end(session: Session, job: Job) -> None:
    """Raises JobFailed, JobCancelled."""
    if job.status != "completed":
        raise how_it_ended(job)
    show(session, job)


def show(session: Session, job: Job) -> None:
    if session.as_json:
        session.document(job.model_dump(mode="json"))
    else:
        tell_job(session.out, job)


def agree(question: str) -> None:
    if not sys.stdin.isatty():
        raise BadParameter("say --yes where nobody can be asked", param_hint="--yes")
    typer.confirm(question, abort=True, err=True)


def table_of(job: Job) -> str:
    name = job.parameters.get("table_name")
    return f"{job.parameters.get('schema', 'geo')}.{name}" if name else ""


def whole(session: Session, beginning: str) -> str:
    """The one id among the newest jobs that begins so. Raises NotFound, BadParameter when several do."""
    if len(beginning) >= JOB_ID:
        return beginning
    found = [job.job_id for job in session.client.jobs(limit=200) if job.job_id.startswith(beginning)]
    if len(found) > 1:
        raise BadParameter(f"{len(found)} jobs begin with {beginning!r}; give more of the id", param_hint="JOB")
    return found[0] if found else beginning


def page_of(session: Session, what: str | None) -> str:
    if what is None:
        return "ui"
    try:
        return f"ui/jobs/{session.client.status(whole(session, what)).job_id}"
    except NotFound:
        return f"map/{what if '.' in what else f'geo.{what}'}"
