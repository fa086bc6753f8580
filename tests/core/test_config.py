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


NOTIFY = {"NOTIFY_HOSTS": "hooks.example.com", "NOTIFY_SECRETS": "whsec_" + "c2VjcmV0" * 4}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LOCAL, *IDENTITY, *NOTIFY, "ALLOWED_SCHEMAS", "AzureFunctionsJobHost__functionTimeout"):
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


def test_whoever_is_to_be_told_is_told_with_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="the setting NOTIFY_SECRETS is missing"):
        loaded(monkeypatch, **(LOCAL | NOTIFY | {"NOTIFY_SECRETS": ""}))
    assert loaded(monkeypatch, **LOCAL, **NOTIFY).receivers.hosts[0].name == "hooks.example.com"


def test_several_secrets_sign_while_receivers_change_over(monkeypatch: pytest.MonkeyPatch) -> None:
    both = NOTIFY["NOTIFY_SECRETS"] + ", whsec_" + "b3RoZXI6" * 4
    assert len(loaded(monkeypatch, **(LOCAL | NOTIFY | {"NOTIFY_SECRETS": both})).notify_secrets) == 2


@pytest.mark.parametrize("secret", ["plain-secret", "whsec_short", "whsec_" + "c2VjcmV0" * 12, "whsec_*" + "c2Vj" * 9])
def test_a_secret_that_is_none_stops_the_start_and_is_not_told(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    with pytest.raises(ValidationError, match="NOTIFY_SECRETS: number 1 is not") as stopped:
        loaded(monkeypatch, **(LOCAL | NOTIFY | {"NOTIFY_SECRETS": secret}))
    assert secret not in str(stopped.value)
    assert secret not in repr(loaded(monkeypatch, **(LOCAL | NOTIFY)))


def test_a_host_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="NOTIFY_HOSTS: 'https://x/path' is neither"):
        loaded(monkeypatch, **(LOCAL | NOTIFY | {"NOTIFY_HOSTS": "https://x/path"}))
