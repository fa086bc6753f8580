"""pgSTAC through its own functions, in the caller's transaction."""

from collections.abc import Callable
from typing import Any

import psycopg

from core.errors import Transient
from core.ports import Transaction
from core.sql import publishing
from infrastructure.postgresql import message_of


def why_unusable(tx: Transaction) -> str | None:
    """The reason why the catalog cannot be changed, or None when pgSTAC is there for this user."""
    row = tx.one(publishing.pgstac_there)
    if row and row["there"] and row["allowed"]:
        return None
    missing = "this user may not use it" if row and row["there"] else "it is not installed in this database"
    return f"pgSTAC cannot be used: {missing}"


def upsert(tx: Transaction, collection: dict[str, Any], item: dict[str, Any]) -> str | None:
    """Write the item, and its collection when it is new. Returns why that cannot be, None when it is done.

    Either both are written or nothing is: a refusal leaves the rest of the caller's transaction alone. Raises Transient
    when another writer of the catalog is in the way.
    """

    def write() -> None:
        if not tx.one(publishing.has_collection, id=collection["id"]):
            tx.run(publishing.upsert_collection, collection=collection)
        tx.run(publishing.upsert_item, item=item)

    return _why_not_changed(tx, write)


def remove(tx: Transaction, collection: str, item: str) -> str | None:
    """Delete the item, if it is there; its collection stays. Returns why that cannot be, None when it is gone.

    A refusal leaves the rest of the caller's transaction alone. Raises Transient as `upsert` does.
    """

    def delete() -> None:
        # pgSTAC's function raises when there is none.
        if tx.one(publishing.has_item, collection=collection, id=item):
            tx.run(publishing.delete_item, collection=collection, id=item)

    return _why_not_changed(tx, delete)


def _why_not_changed(tx: Transaction, change: Callable[[], None]) -> str | None:
    if reason := why_unusable(tx):
        return reason
    try:
        with tx.connection.transaction():
            # Two first items at once would each fit the partition's constraint to their own date.
            tx.run(publishing.lock_catalog)
            tx.run(publishing.pgstac_search_path)
            change()
            tx.run(publishing.plain_search_path)
    except psycopg.errors.CheckViolation as error:
        raise Transient("somebody else is changing the catalog's partitions", code="catalog_busy") from error
    except psycopg.errors.InsufficientPrivilege as error:
        return f"pgSTAC refused this user: {message_of(error)}"
    return None
