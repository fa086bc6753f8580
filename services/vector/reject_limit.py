"""How many rejected rows a job bears, and what is said when there are more."""

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
    percent = 100 * receipt.rows_rejected / receipt.read
    if receipt.loaded and percent <= params.max_reject_percent:
        return
    reason = max(receipt.rejected, key=lambda name: receipt.rejected[name])
    resources: Resources = ctx.resources
    with resources.database.transaction() as tx:
        rows = examples(tx, ctx.job_id, ctx.run, reason)
    reasons = f"{listed(receipt.rejected)}. Most often {reason}, for example {', '.join(map(told, rows))}."
    remedy = f"{REMEDIES.get(reason, 'Mend these rows.')} GET /api/jobs/rejects/{ctx.job_id} lists all of them"
    details: dict[str, Any] = {
        "read": receipt.read,
        "rejected": receipt.rejected,
        "percent": round(percent, 4),
        "commonest": reason,
        "examples": rows,
    }
    if receipt.loaded == 0:
        message = f"none of the {receipt.read} rows read could be loaded: {reasons}"
        raise InvalidInput("no_usable_features", message, parameter="blob_name", remedy=f"{remedy}.", details=details)
    raise InvalidInput(
        "too_many_rejects",
        f"{receipt.rows_rejected} of the {receipt.read} rows read ({percent:.6g} %) were rejected, more than"
        f" max_reject_percent allows ({params.max_reject_percent:g} %): {reasons}",
        parameter="max_reject_percent",
        remedy=f"{remedy}; a greater max_reject_percent loads the others.",
        details=details | {"max_reject_percent": params.max_reject_percent},
    )


def told(row: Row) -> str:
    """For people: `row 17 (at 8.5, 47.25)`."""
    return f"row {row['row_number']}" + ("" if row["lon"] is None else f" (at {row['lon']:.7g}, {row['lat']:.7g})")
