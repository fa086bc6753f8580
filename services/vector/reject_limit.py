"""How many rejected rows a job bears, and what is said when there are more."""

from collections.abc import Mapping
from typing import Any

from core.errors import InvalidInput
from core.models.results import Receipt
from core.models.vector import ProcessVectorParams
from core.ports import Row
from core.workflow import TaskContext
from infrastructure.resources import Resources
from services.vector.rejects import examples
from services.vector.survey import listed

REMEDIES = {
    "axes_swapped": "x and y look exchanged: exchange lat_name and lon_name, or write longitude first.",
    "coordinates_out_of_range": "The coordinates are no degrees: give the source_crs they are in.",
    "reprojection_failed": "Check whether the coordinates are in the source_crs.",
    "null_geometry": "Check the geometry columns.",
    "mixed_collection": "Take the collections apart, or send geometry_type: any.",
}


def refuse_rejects(ctx: TaskContext, params: ProcessVectorParams, receipt: Receipt) -> None:
    """Raises InvalidInput: `no_usable_features` when no row is left, `too_many_rejects` beyond max_reject_percent; with
    the commonest reason and rows to look at."""
    limit = params.max_reject_percent
    if receipt.loaded and not is_beyond(receipt.read, receipt.rejected, limit):
        return
    reason = max(receipt.rejected, key=lambda name: receipt.rejected[name])
    resources: Resources = ctx.resources
    with resources.database.transaction() as tx:
        rows = examples(tx, ctx.job_id, ctx.run, reason)
    commonest = f"Most often {reason}, for example {', '.join(map(told, rows))}."
    remedy = f"{REMEDIES.get(reason, 'Mend these rows.')} GET /api/jobs/rejects/{ctx.job_id} lists all of them"
    details: dict[str, Any] = {
        "read": receipt.read,
        "rejected": receipt.rejected,
        "percent": round(100 * receipt.rows_rejected / receipt.read, 4),
        "commonest": reason,
        "examples": rows,
    }
    if receipt.loaded == 0:
        message = f"none of the {receipt.read} rows read could be loaded: {listed(receipt.rejected)}. {commonest}"
        raise InvalidInput("no_usable_features", message, parameter="blob_name", remedy=f"{remedy}.", details=details)
    raise InvalidInput(
        "too_many_rejects",
        f"{beyond_limit(receipt.read, receipt.rejected, limit)} {commonest}",
        parameter="max_reject_percent",
        remedy=f"{remedy}; a greater max_reject_percent loads the others.",
        details=details | {"max_reject_percent": limit},
    )


def is_beyond(read: int, rejected: Mapping[str, int], limit: float) -> bool:
    return 100 * sum(rejected.values()) > limit * read


def beyond_limit(read: int, rejected: Mapping[str, int], limit: float) -> str:
    count = sum(rejected.values())
    return (
        f"{count} of the {read} rows read ({100 * count / read:.6g} %) were rejected, more than max_reject_percent"
        f" allows ({limit:g} %): {listed(dict(rejected))}."
    )


def told(row: Row) -> str:
    """For people: `row 17 (at 8.5, 47.25)`."""
    return f"row {row['row_number']}" + ("" if row["lon"] is None else f" (at {row['lon']:.7g}, {row['lat']:.7g})")
