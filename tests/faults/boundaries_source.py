"""The places in the app's source that have an effect: one that no scenario reaches, or nobody watches, is noticed."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults.boundaries_effects import PLUMBING, ROOT

FOLDERS = ("core", "jobs", "services", "infrastructure", "triggers")
# Whoever mentions one of these does something in the world, or has it done at once.
EFFECTS = {
    *("transaction", "execute", "executemany", "cursor", "commit", "connect"),
    *("send_jobs", "send_tasks", "send_messages", "schedule_messages"),
    *("receive_messages", "complete_message", "settle"),
    *("bronze", "silver", "upload_blob", "download_blob", "delete_blob", "list_blob_names", "get_blob_properties"),
    *("mkdtemp", "rmtree"),
}
# Modules that lead outside, and the files that may use them: they are watched there. Others are not used at all.
DOORS: dict[str, tuple[str, ...]] = {
    "psycopg_pool": ("infrastructure/postgresql.py",),
    "azure.servicebus": tuple(f"infrastructure/{name}.py" for name in ("service_bus", "dead_letters", "bus_errors")),
    "azure.storage": ("infrastructure/blob.py",),
    # An archive is unpacked inside the task's own folder.
    "tempfile": ("services/vector/source_file.py", "services/vector/archives.py"),
    "shutil": ("services/vector/source_file.py",),
    # A socket pair to a process of ours, which reads what it is given and answers: nothing that lasts.
    "socket": (
        *(f"infrastructure/sandbox/{name}.py" for name in ("protocol", "child", "server", "client")),
        "infrastructure/webhook.py",
    ),
    "subprocess": ("infrastructure/sandbox/client.py", "services/vector/repair.py"),
    # The latter has the names of status codes.
    "http": ("infrastructure/webhook.py", "triggers/openapi.py"),
    # They serve what is published, and can only read.
    "asyncio": ("infrastructure/read_pool.py", "triggers/serving/mount.py"),
    **dict.fromkeys(("urllib.request", "requests", "httpx"), ()),
}
READS = "reads in a transaction whose end is a boundary"
START = "at the start, in one transaction, before there is any work"
ANSWERS = "reads, to answer a client"
UPLOADS = "a file that no job knows of; what a fault leaves is removed by the orphan detection"
NO_BOUNDARY = {
    "Submissions.submit": "settles a request, not a letter",
    "Submissions.accept": "settles a request, not a letter",
    "Submissions.settle": "settles a request, not a letter",
    "CoreMachine.process_job_message": "CoreMachine.postpone sends for it",
    "CoreMachine.process_task_message": "CoreMachine.postpone sends for it",
    "as_dead_letter": "DeadLetterService.work_through settles it",
    "release": "BlobRepository.delete_under deletes for it",
    "VectorToPostGISHandler.measure": READS,
    "VectorToPostGISHandler.value_range": READS,
    "VectorToPostGISHandler.cluster": "tests/jobs/test_cluster.py ends the worker at each of its steps",
    "_stored_rows": "reads a GeoPackage",
    "PostgresDatabase._configure": "settings of a connection",
    "begun": "begins a transaction, whose end is a boundary",
    "migrate": START,
    "apply_missing": START,
    **dict.fromkeys(
        ("list_jobs", "get_rejects", "progress", "verbose", "diagnose_job", "cleanup_status", "cleanup_history"),
        ANSWERS,
    ),
    **dict.fromkeys(
        ("get_queues", "page_of_jobs", "progress_of", "list_tables", "get_table", "get_column", "publications"), ANSWERS
    ),
    "Sample.all": ANSWERS,
    "downloaded.fetch": "BlobRepository.pieces reads for it",
    **dict.fromkeys(
        [f"Uploads.{name}" for name in ("__init__", "signed_url", "store", "store_block", "finish")], UPLOADS
    ),
    **dict.fromkeys(("Uploads.remove_unsubmitted", "Uploads.never_submitted", "BlobRepository.create"), UPLOADS),
    **dict.fromkeys(("look_at_source", "SourceBlob.fetch", "SourceBlob.fetch_range"), ANSWERS),
    **dict.fromkeys(("readyz", "health", "database_versions", "NotificationService.backlog"), ANSWERS),
}


def unlisted_places(boundaries: Iterable[str]) -> list[str]:
    """Qualified names of the functions that have an effect themselves, which is not among the boundaries."""
    known = {name.rsplit(": ", 1)[0].split(" > ")[-1] for name in boundaries}
    found = dict.fromkeys(place for _, tree in sources() for place in effects_in(tree))
    return [place for place in found if place not in known | NO_BOUNDARY.keys() and not PLUMBING.search(place)]


def effects_in(node: ast.AST, place: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from effects_in(child, f"{place}.{child.name}" if place else child.name)
            continue
        if isinstance(child, ast.Attribute) and child.attr in EFFECTS:
            yield place
        yield from effects_in(child, place)


def unwatched_doors() -> list[str]:
    """Files that lead outside where nobody watches."""
    return [
        f"{name} imports {module}"
        for name, tree in sources()
        for module in imports_in(tree)
        for door, files in DOORS.items()
        if f"{module}.".startswith(f"{door}.") and name not in files
    ]


def imports_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> Iterator[tuple[str, ast.Module]]:
    paths: list[Path] = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in [*paths, ROOT / "function_app.py"]:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())
