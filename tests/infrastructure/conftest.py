"""Settings that lead to the real parts."""

from typing import Any

import pytest

from core.config import Settings
from tests.conftest import Database

UNUSED = {"BLOB_CONNECTION_STRING": "unused", "ServiceBusConnection": "unused"}


def settings_from(given: dict[str, Any]) -> Settings:
    return Settings.model_validate({name.lower() if name.isupper() else name: value for name, value in given.items()})


@pytest.fixture
def settings(database: Database) -> Settings:
    """Of a database of its own; bus and storage lead nowhere."""
    return settings_from(UNUSED | database.settings)
