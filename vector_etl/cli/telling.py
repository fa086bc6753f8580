"""What people are told."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vector_etl.cli.exits import exit_of
from vector_etl.cli.parameters import option_of
from vector_etl.cli.session import Session
from vector_etl.errors import ApiError, ClientError, JobEnded, Unauthorized, Unavailable
from vector_etl.models import Inspection, Job, Json, Receipt, Refusal

COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan", "queued": "blue"}
KEY = "Give a function key with --key, or set VECTOR_ETL_KEY."


def tell_error(session: Session, error: ClientError) -> None:
    """What is wrong, with which parameter, and what helps."""
    if session.as_json:
        session.document({"error": error_document(error)})
    else:
        complain(session.complaints, error)


def complain(console: Console, error: ClientError) -> None:
    match error:
        case JobEnded():
            tell_end(console, error.job)
        case ApiError() if error.errors:
            for wrong in error.errors:
                console.print(f"[red]{error.code}[/] {escape(named(wrong.parameter))}{escape(wrong.detail)}")
        case ApiError():
            console.print(f"[red]{error.code}[/] {escape(error.detail)}")
        case _:
            console.print(f"[red]error[/] {escape(error.detail)}")
    for remedy in remedies(error):
        console.print(remedy, markup=False)


def error_document(error: ClientError) -> Json:
    told: Json = {"exit_code": int(exit_of(error)), "detail": error.detail}
    if isinstance(error, ApiError):
        return told | error.problem.model_dump(mode="json")
    if isinstance(error, JobEnded):
        return told | {"job": error.job.model_dump(mode="json")}
    return told


def named(parameter: str | None) -> str:
    if not parameter:
        return ""
    option = option_of(parameter)
    return f"{option} ({parameter}): " if option else f"{parameter}: "


def remedies(error: ClientError) -> Iterable[str]:
    if isinstance(error, Unauthorized):
        yield KEY
    if isinstance(error, Unavailable):
        yield "Try again in a moment."
    if isinstance(error, ApiError) and (other := (error.problem.model_extra or {}).get("job_id")):
        yield f"Wait for that job: vector-etl status {other} --follow"


def tell_end(console: Console, job: Job) -> None:
    console.print(
        f"the job [{COLOURS[job.status]}]{job.status}[/]" if job.status == "failed" else f"the job is {job.status}"
    )
    if job.error:
        console.print(f"[red]{job.error.code}[/] {escape(job.error.message)}")
    tell_links(console, job)
    console.print(f"When that is put right: vector-etl retry {job.job_id} --follow", markup=False)


def tell_job(console: Console, job: Job) -> None:
    """A job at a glance, and its receipt when it has one."""
    state = f"[{COLOURS[job.status]}]{job.status}[/]"
    console.print(f"{job.job_type} {job.job_id}: {state}, run {job.run}, stage {job.stage} of {job.total_stages}")
    if job.progress and not job.has_ended:
        console.print(
            f"  {escape(job.progress.summary)}, {job.progress.percent:.0f} %, {job.progress.rows_loaded:,} rows"
        )
    if job.error:
        console.print(f"  [red]{job.error.code}[/] {escape(job.error.message)}")
    if receipt := job.receipt:
        tell_receipt(console, receipt)
    elif job.result_data:
        console.print_json(data=job.result_data)
    tell_links(console, job)


def tell_receipt(console: Console, receipt: Receipt) -> None:
    table, rows = receipt.table, receipt.rows
    rejected = sum(rows.rejected.values())
    box = ", ".join(f"{edge:.6g}" for edge in table.bbox)
    console.print(
        f"[bold]{escape(table.schema_name)}.{escape(table.name)}[/] {table.geometry_type}, EPSG:{table.srid}, {box}"
    )
    console.print(f"  {rows.read:,} rows read = {rows.loaded:,} loaded + {rejected:,} rejected{reasons(rows.rejected)}")
    changed = {name: getattr(rows, name) for name in ("repaired", "promoted", "flattened")}
    if any(changed.values()):
        console.print("  " + ", ".join(f"{count:,} {name}" for name, count in changed.items() if count))
    for column in table.renamed:
        console.print(
            f"  column {column.get('source')!r} is {column.get('name')}: {column.get('reason')}", markup=False
        )
    for note in table.notes:
        console.print(f"  column {note.get('name')}: {note.get('note')}", markup=False)
    if receipt.replaced:
        console.print(f"  replaced a table of {receipt.replaced.get('rows_before')} rows")
    if receipt.degraded:
        console.print(f"  [yellow]degraded[/]: {escape(receipt.degraded_reason or '')}")


def reasons(rejected: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count:,} {reason}' for reason, count in rejected.items())})" if rejected else ""


def tell_links(console: Console, job: Job) -> None:
    for name, url in links_of(job).items():
        console.print(f"  {name}: {url}", markup=False)


def links_of(job: Job) -> dict[str, str]:
    """Of the job and of its result, there by name or as a list of {rel, href}."""
    more = (job.result_data or {}).get("links") or {}
    if isinstance(more, list):
        more = {link.get("title") or link.get("rel"): link.get("href") for link in more if isinstance(link, dict)}
    return {name: url for name, url in (job.links | more).items() if isinstance(url, str)}


def tell_inspection(console: Console, told: Inspection, refusals: Sequence[Refusal]) -> None:
    table, estimate = told.table or {}, told.estimate or {}
    source = told.source or {}
    console.print(
        f"{source.get('driver', 'file')}, {source.get('crs')}: about {estimate.get('rows')} rows", markup=False
    )
    if columns := table.get("columns"):
        console.print(
            grid(("column", "type", "in the file"), [(c["name"], c["pg_type"], c["source"]) for c in columns])
        )
    for warning in told.warnings:
        text = warning.get("message", warning) if isinstance(warning, dict) else warning
        console.print(f"[yellow]warning[/] {escape(str(text))}")
    for refusal in refusals:
        console.print(f"[red]{refusal.code}[/] {escape(named(refusal.parameter))}{escape(refusal.message)}")
    proposed = (told.candidates or {}).get("proposed") or {}
    if any(refusal.parameter in proposed for refusal in refusals):
        options = " ".join(f"{option_of(name) or name} {shlex.quote(str(value))}" for name, value in proposed.items())
        console.print(f"Perhaps: {options}", markup=False)


def grid(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    return table
