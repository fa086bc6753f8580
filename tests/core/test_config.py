"""Settings: complete and consistent, or a clear refusal at the start."""

from typing import Any

import pytest
from pydantic import ValidationError

from core.config import Settings, timespan_seconds

LOCAL = {
    "POSTGIS_HOST": "db",
    "POSTGIS_USER": "etl",
    "POSTGIS_PASSWORD": "p",
    "BLOB_CONNECTION_STRING": "b",
    "ServiceBusConnection": "s",
}
IDENTITY = {
    "POSTGIS_HOST": "db",
    "POSTGIS_USER": "etl",
    "USE_MANAGED_IDENTITY": "true",
    "BLOB_ACCOUNT_URL": "https://account",
    "ServiceBusConnection__fullyQualifiedNamespace": "bus",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LOCAL, *IDENTITY, "ALLOWED_SCHEMAS", "AzureFunctionsJobHost__functionTimeout"):
        monkeypatch.delenv(name, raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Settings:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("missing", ["POSTGIS_PASSWORD", "BLOB_CONNECTION_STRING", "ServiceBusConnection"])
def test_without_an_identity_every_secret_must_be_there(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with pytest.raises(ValidationError, match=f"the setting {missing} is missing"):
        loaded(monkeypatch, **(LOCAL | {missing: ""}))


@pytest.mark.parametrize("missing", ["BLOB_ACCOUNT_URL", "ServiceBusConnection__fullyQualifiedNamespace"])
def test_with_an_identity_every_address_must_be_there(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with pytest.raises(ValidationError, match=f"the setting {missing} is missing"):
        loaded(monkeypatch, **(IDENTITY | {missing: ""}))


def test_with_an_identity_no_secret_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, **IDENTITY).postgis_password is None


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, **LOCAL, ALLOWED_SCHEMAS="geo, partner ,").allowed_schemas == ("geo", "partner")


def test_the_function_timeout_is_host_json_s_unless_it_is_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, **LOCAL).function_timeout_seconds == 1800
    overridden = loaded(monkeypatch, **LOCAL, AzureFunctionsJobHost__functionTimeout="00:10:00")
    assert overridden.function_timeout_seconds == 600


@pytest.mark.parametrize(("text", "seconds"), [("00:00:05", 5), ("01:02:03", 3723), ("1.00:00:00", 86400)])
def test_time_spans_are_read_as_host_json_writes_them(text: str, seconds: float) -> None:
    assert timespan_seconds(text) == seconds


def test_the_password_is_not_in_the_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        loaded(monkeypatch, **(LOCAL | {"POSTGIS_USER": "e@tl"})).database_url == "postgresql://e%40tl@db:5432/geodata"
    )
