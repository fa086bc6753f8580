"""Postgres for the ASGI apps that read: asyncpg, connections that cannot write."""

import asyncio
from typing import Any

import asyncpg
import orjson

from core.config import Settings
from infrastructure.identity import postgres_token

# A person who waits this long for a page has gone.
STATEMENT_SECONDS = 30
# Idle connections are closed soon: a worker that loads files needs none of these.
IDLE_SECONDS = 60.0


def read_pool(settings: Settings, **session: str) -> Any:
    """A pool to be opened with `async with`. It connects when it is first used, with a fresh token for each connection.

    session: settings of each connection. A statement takes STATEMENT_SECONDS at most, and none can write. json and
    jsonb are Python objects.
    """

    async def password() -> str:
        if settings.use_managed_identity:
            return await asyncio.to_thread(postgres_token, settings.azure_client_id)
        return settings.postgis_password or ""

    return asyncpg.create_pool(
        settings.database_url,
        password=password,
        ssl="require" if settings.use_managed_identity else settings.postgis_sslmode,
        min_size=0,
        max_size=settings.serving_pool_size,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        timeout=10,
        init=read_json,
        server_settings={
            "application_name": "vector-etl-serving",
            "default_transaction_read_only": "on",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            **session,
        },
    )


async def read_json(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog")
