"""What a column of a published table holds, as far as a legend needs it."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from core.ports import Row, Transaction

NUMBERS = ("bigint", "integer", "smallint", "double precision", "real", "numeric")
# Values are counted in about so many rows: of a larger table, in a sample of its pages.
MOST_ROWS = 100_000
LOOKED_AT = sql.SQL(
    "(SELECT {column} AS value FROM {table} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)) AS looked_at"
)


COUNTS = """
SELECT count(*) AS rows, count(*) - count(value) AS nulls, count(DISTINCT value::text) AS distinct_values
  FROM {looked_at}"""
# A longer text names no category.
CATEGORIES = """
SELECT value::text AS value, count(*) AS rows
  FROM {looked_at}
 WHERE length(value::text) <= 200
 GROUP BY 1
 ORDER BY 2 DESC, 1
 LIMIT 12"""
QUANTILES = """
SELECT percentile_disc(ARRAY[0, 0.2, 0.4, 0.6, 0.8, 1]) WITHIN GROUP (ORDER BY value::float8) AS borders
  FROM {looked_at}
 WHERE value::float8 NOT IN ('NaN', 'Infinity', '-Infinity')"""


@dataclass(frozen=True)
class Sample:
    """Values of one column, the same ones each time."""

    table: sql.Identifier
    column: sql.Identifier
    percent: float

    def all(self, tx: Transaction, query: str) -> list[Row]:
        rows = LOOKED_AT.format(table=self.table, column=self.column, percent=sql.Literal(self.percent))
        found: list[Row] = tx.connection.execute(sql.SQL(query).format(looked_at=rows)).fetchall()
        return found


def column_summary(tx: Transaction, schema: str, table: str, rows: int, column: str, pg_type: str) -> dict[str, Any]:
    """The commonest values as text, with how many rows have each; of numbers also the least, the four that divide them
    into five equal parts, and the greatest, NaN and infinity left out. rows: of the whole table; of a large one, a
    sample is looked at."""
    percent = 100 * min(1.0, MOST_ROWS / max(rows, 1))
    sample = Sample(sql.Identifier(schema, table), sql.Identifier(column), percent)
    [counted] = sample.all(tx, COUNTS)
    quantiles = sample.all(tx, QUANTILES)[0]["borders"] if pg_type in NUMBERS else None
    told = {"column": column, "pg_type": pg_type, "sampled": percent < 100, **counted}
    return told | {"categories": sample.all(tx, CATEGORIES), "quantiles": quantiles}
