"""A file into a table of a real database by the parts of the pipeline, without jobs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core.models.results import ProcessVectorStage1Data
from core.models.vector import ProcessVectorParams
from infrastructure.postgresql import Connection, PostgresTransaction
from services.timing import Stopwatch
from services.vector.batches import replace_batch
from services.vector.chunk_loader import ChunkLoader
from services.vector.chunks import ChunkWriter
from services.vector.columns import Column, ColumnPlan, plan_columns
from services.vector.converters import open_source
from services.vector.geometry import GeometryOptions
from services.vector.postgis_handler import SRID, STAGING, TableShape, VectorToPostGISHandler, staging_name
from services.vector.source import ReadOptions
from services.vector.survey import Survey

JOB = "a" * 64


@dataclass(frozen=True)
class Loaded:
    """The rows of the table by id, without its own columns; its columns; the rejects by row number."""

    rows: list[dict[str, Any]]
    columns: tuple[Column, ...]
    rejects: list[dict[str, Any]]

    def values(self, source: str) -> list[Any]:
        """Of the column that has this name in the source."""
        name = next(column.name for column in self.columns if column.source == source)
        return [row[name] for row in self.rows]


def connected(url: str) -> Connection:
    return psycopg.connect(url, row_factory=dict_row)


def load(connection: Connection, path: Path, **options: Any) -> Loaded:
    """The transaction is rolled back, so that a connection can load any number of files."""
    with connection.transaction(force_rollback=True):
        return _load(connection, path, options)


def _load(connection: Connection, path: Path, options: dict[str, Any]) -> Loaded:
    tx, handler = PostgresTransaction(connection), VectorToPostGISHandler(None)  # type: ignore[arg-type]
    chunks: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder, open_source(path, path.suffix, ReadOptions(**options)) as source:
        survey = Survey(source)
        with ChunkWriter(Path(folder), lambda _number, chunk: chunks.append(chunk.read_bytes()), None) as writer:
            for batch in survey.batches():
                writer.write(batch)
        source = survey.source
        plan = plan_columns(source.schema, survey.types)
        prepared = described(survey, plan)
    tx.run("INSERT INTO app.jobs (job_id, job_type, total_stages, parameters) VALUES (%(job)s, 't', 1, '{}')", job=JOB)
    handler.create_staging(tx, JOB, 1, TableShape(prepared.columns, prepared.geometry_type))
    for number, chunk in enumerate(chunks):
        watch = Stopwatch()
        loader = ChunkLoader(number, prepared, GeometryOptions(), watch)
        replace_batch(tx, JOB, 1, number, loader.rows(chunk), loader.rejects(JOB, 1), watch)
    rows = tx.all(f'SELECT * FROM {STAGING}."{staging_name(JOB, 1)}" ORDER BY id')  # noqa: S608
    rejects = tx.all("SELECT * FROM app.rejects ORDER BY row_number")
    return Loaded(rows, plan.columns, rejects)


def described(survey: Survey, plan: ColumnPlan) -> ProcessVectorStage1Data:
    params = ProcessVectorParams.model_validate({"blob_name": "x.csv", "table_name": "t"})
    source = survey.source
    return ProcessVectorStage1Data.model_validate(
        {
            "chunk_paths": ["x"],
            "total_features": survey.geometry.rows,
            "num_chunks": 1,
            "table_name": params.table_name,
            "schema": params.schema_name,
            "columns": [{"source": c.source, "name": c.name, "pg_type": c.type} for c in plan.columns],
            "geometry_type": survey.geometry.column_type(),
            "srid": SRID,
            "source_crs": source.crs_text,
            "crs_found_in": source.crs_found_in,
            "layer": source.layer,
            "driver": source.driver,
            "plan": plan.to_dict(),
        }
    )
