"""host.json, local.settings.json and the environment, read once into typed settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

OVERRIDE_PREFIX = "azurefunctionsjobhost__"
TIMESPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+)(?::(?P<seconds>\d+(?:\.\d+)?))?")
SETTING_REFERENCE = re.compile(r"%([^%]+)%")


class MissingSetting(Exception):
    """A binding names an app setting that does not exist."""


def parse_timespan(text: Any) -> timedelta | None:
    """A .NET TimeSpan, [d.]hh:mm[:ss[.f]]; -1 means without limit and gives None."""
    if text is None or isinstance(text, timedelta):
        return text
    if str(text) in ("-1", "-00:00:00.001"):
        return None
    if not (match := TIMESPAN.fullmatch(str(text))):
        raise ValueError(f"not a time span (hh:mm:ss): {text!r}")
    return timedelta(**{unit: float(number) for unit, number in match.groupdict(default="0").items()})


TimeSpan = Annotated[timedelta | None, BeforeValidator(parse_timespan)]


class Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class HttpOptions(Section):
    route_prefix: str = "api"


class ServiceBusOptions(Section):
    """`extensions.serviceBus`; defaults are those of the extension, version 5."""

    max_concurrent_calls: int = Field(default_factory=lambda: 16 * (os.cpu_count() or 1), ge=1)
    auto_complete_messages: bool = True
    max_auto_lock_renewal_duration: TimeSpan = timedelta(minutes=5)
    prefetch_count: int = Field(default=0, ge=0)


class Extensions(Section):
    http: HttpOptions = HttpOptions()
    service_bus: ServiceBusOptions = ServiceBusOptions()


class HostSettings(Section):
    function_timeout: TimeSpan = timedelta(minutes=30)
    extensions: Extensions = Extensions()


def load_host_settings(app: Path, environment: Mapping[str, str]) -> HostSettings:
    """host.json with the `AzureFunctionsJobHost__a__b` variables laid over it."""
    document = json.loads((app / "host.json").read_text())
    for name, value in environment.items():
        if name.lower().startswith(OVERRIDE_PREFIX):
            override(document, name.split("__")[1:], value)
    return HostSettings.model_validate(document)


def override(document: dict[str, Any], path: list[str], value: str) -> None:
    """Put value at path; keys are matched without regard to case, as .NET configuration does."""
    known = {key.lower(): key for key in document}
    key = known.get(path[0].lower(), path[0])
    if len(path) == 1:
        document[key] = value
        return
    inner = document.get(key)
    if not isinstance(inner, dict):
        inner = document[key] = {}
    override(inner, path[1:], value)


def apply_local_settings(app: Path) -> None:
    """Add the Values of local.settings.json to the environment; what is already there wins."""
    file = app / "local.settings.json"
    if file.exists():
        for name, value in json.loads(file.read_text()).get("Values", {}).items():
            os.environ.setdefault(name, str(value))


def describe_host_to_app(app: Path) -> None:
    """The variables by which an app learns where it runs, as Core Tools sets them."""
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    os.environ["AzureWebJobsScriptRoot"] = str(app)  # noqa: SIM112 - the name is Azure's


def resolve(text: str) -> str:
    """Replace every %SETTING% by its value. Raises MissingSetting."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise MissingSetting(f"%{name}% is not an app setting")
        return os.environ[name]

    return SETTING_REFERENCE.sub(value_of, text)
