"""Take a published table back: the table, its metadata and its STAC item go together, or nothing does."""

import logging
from dataclasses import dataclass

from core.errors import InvalidInput
from core.models.results import StacReference
from core.models.unpublish import PublishedBy, Unpublished, UnpublishParams, UnpublishVectorParams
from core.ports import Row, Transaction
from core.sql import publishing
from core.workflow import InTransaction, RunView, TaskContext
from infrastructure import pgstac
from infrastructure.resources import Resources
from services.vector.checks import allowed
from services.vector.postgis_handler import VectorToPostGISHandler
from services.vector.target import PLAIN_TABLE, Target, dependents

log = logging.getLogger(__name__)
TABLES = (PLAIN_TABLE, "inherits")
# Only the app makes tables with this column.
OWN_COLUMN = "etl_batch_id"


@dataclass(frozen=True)
class Publication:
    """What was published under a name. is_there: whether its table still is."""

    row: Row
    is_there: bool


def unpublish_vector(task: UnpublishParams, ctx: TaskContext) -> InTransaction[Unpublished]:  # noqa: ARG001
    """Everything happens in the transaction that completes the task: taken back once, or not at all."""
    resources: Resources = ctx.resources
    target = target_of(ctx.params)
    handler = VectorToPostGISHandler(resources.database)
    return InTransaction(lambda tx: take_back(tx, target, handler))


def take_back(tx: Transaction, target: Target, handler: VectorToPostGISHandler) -> Unpublished:
    """Raises InUse while others read the table, InvalidInput when it may not be dropped any more."""
    if publication(tx, target).is_there:
        handler.lock_existing(tx, target)
    # Looked at again: a view may have been made while the lock was waited for.
    found = publication(tx, target)
    stac, reason = uncatalog(tx, found.row)
    if found.is_there:
        handler.drop(tx, target)
    tx.run(publishing.forget_publication, schema=target.schema, table=target.table)
    return Unpublished(
        schema_name=target.schema,
        name=target.table,
        dropped=found.is_there,
        published_by=PublishedBy(job_id=found.row["job_id"], run=found.row["run"]),
        stac=stac,
        degraded=reason is not None,
        degraded_reason=reason,
        **{name: found.row[name] for name in ("rows", "geometry_type", "bbox")},
    )


def uncatalog(tx: Transaction, row: Row) -> tuple[StacReference | None, str | None]:
    """The item that was removed, or why it stays; neither when there was none."""
    if row["stac_item"] is None:
        return None, None
    item = StacReference(collection=row["stac_collection"], item_id=row["stac_item"])
    if reason := pgstac.remove(tx, item.collection, item.item_id):
        log.warning("unpublished without its STAC item", extra={"reason": reason})
        return None, f"the STAC item {item.item_id} could not be removed, because {reason}"
    return item, None


def publication(tx: Transaction, target: Target) -> Publication:
    """What the app published under the name. Raises InvalidInput when that is nothing, or may not be dropped."""
    name = {"schema": target.schema, "table": target.table}
    row, there = tx.one(publishing.publication, **name), tx.one(publishing.relation_kind, **name)
    if row is None and there is None:
        raise InvalidInput(
            "table_not_found",
            f"there is no table {target}.",
            parameter="table_name",
            remedy="Check table_name and schema.",
        )
    if there is None:
        return Publication(row or {}, is_there=False)
    columns = {column["name"] for column in tx.all(publishing.columns, **name)}
    if row is None or there["kind"] not in TABLES or OWN_COLUMN not in columns:
        raise InvalidInput(
            "table_not_published",
            f"{target} was not published by this app.",
            parameter="table_name",
            remedy="Whoever made it may drop it.",
        )
    refuse_undroppable(tx, target, there)
    return Publication(row, is_there=True)


def refuse_undroppable(tx: Transaction, target: Target, there: Row) -> None:
    """Raises InvalidInput when somebody else stands on the table, or owns it now."""
    names = dependents(tx, target) if there["kind"] == PLAIN_TABLE else ["another table, by inheritance,"]
    if names:
        raise InvalidInput(
            "table_has_dependents",
            f"{target} cannot be dropped, because {', '.join(names)} depends on it.",
            parameter="table_name",
            remedy="Drop what depends on it first.",
        )
    if not there["is_ours"]:
        raise InvalidInput(
            "table_not_owned",
            f"the table {target} belongs to a role that the app is no member of.",
            parameter="table_name",
            remedy="Make the app's role a member of the owner.",
        )


def can_be_taken_back(params: UnpublishVectorParams, resources: Resources) -> None:
    """Raises InvalidInput when the schema is not allowed, or the table is none that the app may drop."""
    allowed("schema", params.schema_name, resources.settings.allowed_schemas)
    with resources.database.transaction() as tx:
        publication(tx, target_of(params))


def nothing_stands(run: RunView, resources: Resources) -> bool:
    """Whether the name is still free, so that taking back what had it is done."""
    name = {"schema": run.params.schema_name, "table": run.params.table_name}
    with resources.database.transaction() as tx:
        return tx.one(publishing.publication, **name) is None and tx.one(publishing.relation_kind, **name) is None


def target_of(params: UnpublishVectorParams) -> Target:
    return Target(params.schema_name, params.table_name, overwrite=False)
