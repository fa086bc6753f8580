import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.host.settings import HostSettings, MissingSetting, load_host_settings, resolve


def load(folder: Path, document: dict[str, Any], environment: Mapping[str, str]) -> HostSettings:
    (folder / "host.json").write_text(json.dumps(document))
    return load_host_settings(folder, environment)


def test_host_json_is_read(tmp_path: Path) -> None:
    bus = {"maxConcurrentCalls": 3, "autoCompleteMessages": False, "maxAutoLockRenewalDuration": "01:02:03"}
    document = {"functionTimeout": "00:10:00", "extensions": {"http": {"routePrefix": ""}, "serviceBus": bus}}
    settings = load(tmp_path, document, {})
    assert settings.function_timeout == timedelta(minutes=10)
    assert settings.extensions.http.route_prefix == ""
    assert settings.extensions.service_bus.max_concurrent_calls == 3
    assert settings.extensions.service_bus.auto_complete_messages is False
    assert settings.extensions.service_bus.max_auto_lock_renewal_duration == timedelta(hours=1, minutes=2, seconds=3)


def test_an_environment_variable_overrides_host_json_whatever_its_case(tmp_path: Path) -> None:
    document = {"functionTimeout": "00:10:00", "extensions": {"serviceBus": {"maxConcurrentCalls": 3}}}
    environment = {
        "AzureFunctionsJobHost__FunctionTimeout": "00:00:05",
        "AzureFunctionsJobHost__extensions__servicebus__maxConcurrentCalls": "8",
        "AzureFunctionsJobHost__extensions__serviceBus__prefetchCount": "2",
    }
    settings = load(tmp_path, document, environment)
    assert settings.function_timeout == timedelta(seconds=5)
    assert settings.extensions.service_bus.max_concurrent_calls == 8
    assert settings.extensions.service_bus.prefetch_count == 2


def test_minus_one_is_no_timeout(tmp_path: Path) -> None:
    assert load(tmp_path, {"functionTimeout": "-1"}, {}).function_timeout is None


def test_a_time_span_may_have_days(tmp_path: Path) -> None:
    assert load(tmp_path, {"functionTimeout": "1.06:00:00"}, {}).function_timeout == timedelta(hours=30)


def test_a_malformed_time_span_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a time span"):
        load(tmp_path, {"functionTimeout": "ten minutes"}, {})


def test_settings_between_percent_signs_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_QUEUE", "orders")
    assert resolve("%A_QUEUE%/$DeadLetterQueue") == "orders/$DeadLetterQueue"
    with pytest.raises(MissingSetting, match="ANOTHER_QUEUE"):
        resolve("%ANOTHER_QUEUE%")
