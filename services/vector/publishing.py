"""The last stage: index, count, swap into place, catalog."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pydantic_core

from core.errors import InvalidInput
from core.models.results import (
    ProcessVectorStage1Result,
    Published,
    Receipt,
    Replaced,
    StacParams,
    StacReference,
    TypeChange,
)
from core.models.vector import ProcessVectorParams
from core.ports import Transaction
from core.sql import publishing
from core.workflow import InTransaction, TaskContext
from infrastructure import pgstac
from infrastructure.resources import Resources
from services import stac_vector
from services.timing import Stopwatch
from services.vector.postgis_handler import (
    BATCH_INDEX,
    PRIMARY_KEY,
    SPATIAL_INDEX,
    SRID,
    IndexPlan,
    Measured,
    VectorToPostGISHandler,
    column_types,
    cut,
)
from services.vector.receipt import add_up
from services.vector.reject_limit import refuse_rejects
from services.vector.rejects import kept_rejects
from services.vector.target import Target

log = logging.getLogger(__name__)
Interval = tuple[datetime, datetime]


def create_vector_stac(task: StacParams, ctx: TaskContext) -> InTransaction[Published]:  # noqa: ARG001
    """Sort and index the staging table, then publish it in the transaction that completes the task: readers see the
    whole table with its metadata and STAC item, or what was there before."""
    resources: Resources = ctx.resources
    params: ProcessVectorParams = ctx.params
    prepared: ProcessVectorStage1Result = ctx.result("prepare_chunks")
    receipt = add_up(prepared, ctx.results("upload_chunks"))
    refuse_rejects(ctx, params, receipt)
    plans = index_plans(params)
    handler = VectorToPostGISHandler(resources.database)
    watch = Stopwatch()
    if params.cluster:
        with watch.measured("cluster"):
            handler.cluster(ctx.job_id, ctx.run, ctx.hold)
        ctx.progress()
    with watch.measured("index"):
        measured = handler.build_indexes(ctx.job_id, ctx.run, plans)
    bbox = balanced(measured, receipt)
    with watch.measured("analyse"):
        handler.analyse(ctx.job_id, ctx.run)
    ctx.progress()
    return InTransaction(Publication(ctx, params, prepared, receipt, bbox, plans, handler, watch).publish)


def balanced(measured: Measured, receipt: Receipt) -> list[float]:
    """The extent. Raises InvalidInput unless the table has the rows that the uploads say: nobody can change it any
    more, since the attempts of the earlier stages are fenced out."""
    if measured.rows != receipt.loaded or measured.bbox is None:
        raise InvalidInput(
            "rows_do_not_add_up", f"the uploads loaded {receipt.loaded} rows, but the table has {measured.rows}."
        )
    return measured.bbox


@dataclass(frozen=True)
class Publication:
    """Everything that becomes visible together."""

    ctx: TaskContext
    params: ProcessVectorParams
    prepared: ProcessVectorStage1Result
    receipt: Receipt
    bbox: list[float]
    plans: list[IndexPlan]
    handler: VectorToPostGISHandler
    watch: Stopwatch

    def publish(self, tx: Transaction) -> Published:
        self.refuse_lost_rejects(tx)
        interval = self.interval(tx)
        target = Target(self.params.schema_name, self.params.table_name, self.params.overwrite)
        replaced = self.replaced(tx, target)
        # After what takes time: from here on readers of the old table wait for the commit. Before the catalog, whose
        # lock other publications wait for.
        with self.watch.measured("lock"):
            self.handler.lock(tx, target)
        with self.watch.measured("stac"):
            stac, reason = self.catalog(tx, interval)
        with self.watch.measured("swap"):
            self.handler.publish(tx, self.ctx.job_id, self.ctx.run, target, self.plans)
        tx.run(publishing.record_publication, **self.metadata(interval, stac))
        tx.run(publishing.forget_batches, job_id=self.ctx.job_id, run=self.ctx.run)
        return Published(
            rows=self.receipt.loaded,
            bbox=self.bbox,
            replaced=replaced,
            stac=stac,
            degraded=reason is not None,
            degraded_reason=reason,
            indexes=[f"{plan.method} ({', '.join(plan.columns)})" for plan in self.plans],
            seconds=self.watch.seconds,
        )

    def refuse_lost_rejects(self, tx: Transaction) -> None:
        """As many are kept as the uploads say."""
        kept = kept_rejects(tx, self.ctx.job_id, self.ctx.run)
        if kept != self.receipt.rows_rejected:
            raise InvalidInput(
                "rows_do_not_add_up", f"the uploads rejected {self.receipt.rows_rejected} rows, but {kept} are kept."
            )

    def interval(self, tx: Transaction) -> Interval | None:
        column = self.params.temporal_property
        return self.handler.value_range(tx, self.ctx.job_id, self.ctx.run, column) if column else None

    def replaced(self, tx: Transaction, target: Target) -> Replaced | None:
        """What becomes different with the table that is there, if there is one."""
        before = column_types(tx, target)
        if not before:
            return None
        after = self.handler.staged_columns(tx, self.ctx.job_id, self.ctx.run)
        published = tx.one(publishing.published_by, schema=target.schema, table=target.table)
        return Replaced(
            rows_before=published["feature_count"] if published else None,
            rows_after=self.receipt.loaded,
            bbox_before=published["bbox"] if published else None,
            bbox_after=self.bbox,
            columns_added=[name for name in after if name not in before],
            columns_removed=[name for name in before if name not in after],
            columns_changed=[
                TypeChange(name=name, before=before[name], after=kind)
                for name, kind in after.items()
                if before.get(name, kind) != kind
            ],
        )

    def catalog(self, tx: Transaction, interval: Interval | None) -> tuple[StacReference | None, str | None]:
        """The item's place in the catalog, or why there is none."""
        data = self.prepared.result
        item = stac_vector.build_item(
            self.params,
            geometry_type=data.geometry_type,
            columns=data.columns,
            rows=self.receipt.loaded,
            bbox=self.bbox,
            published_at=datetime.now(UTC),
            interval=interval,
            etl=self.provenance(),
        )
        if reason := pgstac.upsert(tx, stac_vector.collection(), item):
            log.warning("published without a STAC item", extra={"reason": reason})
            return None, f"no STAC item was written, because {reason}"
        return StacReference(collection=stac_vector.COLLECTION, item_id=item["id"]), None

    def provenance(self) -> dict[str, Any]:
        data = self.prepared.result
        return {
            "etl:job_id": self.ctx.job_id,
            "etl:run": self.ctx.run,
            "etl:source": self.source(),
            "etl:rows": self.receipt.model_dump(),
            "etl:renamed": [renamed.model_dump() for renamed in data.renamed],
            "etl:notes": [note.model_dump() for note in data.notes],
        }

    def source(self) -> dict[str, Any]:
        data = self.prepared.result
        return {
            "blob_name": self.params.blob_name,
            "sha256": self.prepared.source_sha256,
            "bytes": self.prepared.source_bytes,
            "layer": data.layer,
            "driver": data.driver,
            "crs": data.source_crs,
        }

    def metadata(self, interval: Interval | None, stac: StacReference | None) -> dict[str, Any]:
        params, data = self.params, self.prepared.result
        return {
            "schema": params.schema_name,
            "table": params.table_name,
            "job_id": self.ctx.job_id,
            "run": self.ctx.run,
            **params.model_dump(include={"title", "description", "attribution", "license", "temporal_property"}),
            "keywords": list(params.keywords),
            "rows": self.receipt.loaded,
            "geometry_type": data.geometry_type,
            "srid": SRID,
            "bbox": self.bbox,
            "columns": pydantic_core.to_json(data.columns).decode(),
            "source": self.source(),
            "temporal_start": interval[0] if interval else None,
            "temporal_end": interval[1] if interval else None,
            "stac_collection": stac.collection if stac else None,
            "stac_item": stac.item_id if stac else None,
        }


def index_plans(params: ProcessVectorParams) -> list[IndexPlan]:
    """The largest first: they are built side by side."""
    wanted = [SPATIAL_INDEX] if params.indexes.spatial else []
    wanted += [PRIMARY_KEY, BATCH_INDEX]
    columns = dict.fromkeys((*params.indexes.attributes, *params.indexes.temporal))
    return wanted + [IndexPlan(cut(column, 40), "btree", (column,)) for column in columns]
