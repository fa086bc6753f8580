"""Where a table is published, and what may stand in its way."""

from dataclasses import dataclass

from core.errors import InvalidInput
from core.ports import Transaction
from core.sql import publishing

PLAIN_TABLE = "r"
OWN_TABLE = "geo.table_metadata"


@dataclass(frozen=True)
class Target:
    """Where a table is published, and whether it may take the place of one that is there."""

    schema: str
    table: str
    overwrite: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


def relation_kind(tx: Transaction, target: Target) -> str | None:
    """pg_class.relkind of what has the target's name; None when the name is free."""
    row = tx.one(publishing.relation_kind, schema=target.schema, table=target.table)
    return row["kind"] if row else None


def refuse_existing(target: Target, kind: str) -> None:
    """Raises InvalidInput unless it is a plain table, not the app's own, that may be overwritten."""
    if kind != PLAIN_TABLE or str(target) == OWN_TABLE:
        raise InvalidInput(
            "name_taken",
            f"{target} exists and is not a table that a job may replace.",
            parameter="table_name",
            remedy="Choose another table_name.",
        )
    if not target.overwrite:
        raise InvalidInput(
            "table_exists",
            f"the table {target} exists.",
            parameter="table_name",
            remedy="Choose another table_name, or send overwrite: true to replace it.",
        )


def dependents(tx: Transaction, target: Target) -> list[str]:
    """The views and tables that stand on the table."""
    return [row["name"] for row in tx.all(publishing.dependents, schema=target.schema, table=target.table)]


def refuse_dependents(tx: Transaction, target: Target) -> None:
    """Raises InvalidInput when views or foreign keys stand on the table: replacing it would break them."""
    if names := dependents(tx, target):
        raise InvalidInput(
            "table_has_dependents",
            f"{target} cannot be replaced, because {', '.join(names)} depends on it.",
            parameter="overwrite",
            remedy="Drop what depends on it, or choose another table_name.",
        )


def refuse_occupied(tx: Transaction, target: Target) -> None:
    """Raises InvalidInput when the table could not be published there now."""
    there = tx.one(publishing.relation_kind, schema=target.schema, table=target.table)
    if there is None:
        return
    refuse_existing(target, there["kind"])
    if not there["is_ours"]:
        raise InvalidInput(
            "table_not_owned",
            f"the table {target} belongs to a role that the app is no member of.",
            parameter="overwrite",
            remedy="Make the app's role a member of the owner, or choose another table_name.",
        )
    refuse_dependents(tx, target)
