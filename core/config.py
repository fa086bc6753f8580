"""Settings, from the environment. The only reader of it."""

import base64
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.receivers import Receivers
from core.retry import RetryPolicy

HOST_JSON = Path(__file__).parent.parent / "host.json"
WEB_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """local.settings.example.json explains each. A missing or contradictory one stops the start."""

    # An error of the start is logged: without the values, which may be secrets.
    model_config = SettingsConfigDict(
        case_sensitive=False, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    use_managed_identity: bool = False
    azure_client_id: str | None = None

    postgis_host: str
    postgis_port: int = 5432
    postgis_database: str = "geodata"
    postgis_user: str
    postgis_password: str | None = None
    postgis_sslmode: str = "prefer"
    postgis_pool_size: int = Field(default=8, ge=1, le=100)
    serving_pool_size: int = Field(default=4, ge=1, le=100)

    blob_connection_string: str | None = None
    blob_account_url: str | None = None
    bronze_container: str = "bronze"
    silver_container: str = "silver"
    allowed_containers: Names = ()

    service_bus_connection: str | None = Field(default=None, validation_alias="ServiceBusConnection")
    service_bus_namespace: str | None = Field(
        default=None, validation_alias="ServiceBusConnection__fullyQualifiedNamespace"
    )
    jobs_queue: str = "geospatial-jobs"
    vector_tasks_queue: str = "vector-tasks"

    allowed_schemas: Names = ("geo",)
    public_base_url: str | None = None
    anonymous_read: bool = False
    max_source_mb: int = Field(default=2048, ge=1)
    parser_memory_mb: int = Field(default=1024, ge=64)
    inspection_seconds: float = Field(default=10.0, gt=0)
    upload_minutes: int = Field(default=60, ge=1, le=1440)
    keep_uploads_hours: int = Field(default=24, ge=2)
    max_task_attempts: int = Field(default=3, ge=1, le=10)
    retry_base_seconds: float = Field(default=5.0, gt=0)
    outage_patience_seconds: float = Field(default=120.0, ge=0)
    outbox_schedule: str = "*/10 * * * * *"
    task_watchdog_schedule: str = "0 * * * * *"
    job_health_schedule: str = "0 */5 * * * *"
    orphan_detection_schedule: str = "0 */15 * * * *"
    notify_hosts: Names = ()
    notify_secrets: Annotated[Names, Field(repr=False)] = ()
    notify_source: str = Field(default="urn:vector-etl", min_length=1)
    notify_schedule: str = "*/10 * * * * *"
    function_timeout: str | None = Field(default=None, validation_alias="AzureFunctionsJobHost__functionTimeout")
    log_level: str = "INFO"

    @field_validator("allowed_containers", "allowed_schemas", "notify_hosts", "notify_secrets", mode="before")
    @classmethod
    def split_names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("public_base_url")
    @classmethod
    def whole_url(cls, value: str | None) -> str | None:
        if value is not None and not WEB_URL.fullmatch(value):
            raise ValueError("PUBLIC_BASE_URL is not a URL like https://maps.example.org/api")
        return value.rstrip("/") if value else None

    @field_validator("notify_secrets")
    @classmethod
    def are_keys(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for number, secret in enumerate(secrets, 1):
            if not is_key(secret):
                raise ValueError(f"NOTIFY_SECRETS: number {number} is not whsec_ and 24 to 64 bytes in base64")
        return secrets

    @model_validator(mode="after")
    def complete(self) -> Self:
        if not self.use_managed_identity:
            self._require("POSTGIS_PASSWORD", self.postgis_password)
            self._require("BLOB_CONNECTION_STRING", self.blob_connection_string)
            self._require("ServiceBusConnection", self.service_bus_connection)
        else:
            self._require("BLOB_ACCOUNT_URL", self.blob_account_url)
            self._require("ServiceBusConnection__fullyQualifiedNamespace", self.service_bus_namespace)
        if self.receivers.hosts:
            self._require("NOTIFY_SECRETS", ",".join(self.notify_secrets))
        return self

    @staticmethod
    def _require(name: str, value: str | None) -> None:
        if not value:
            raise ValueError(f"the setting {name} is missing; local.settings.example.json explains it")

    @property
    def source_containers(self) -> tuple[str, ...]:
        """Where source files may come from: the bronze container and those that are allowed besides."""
        return tuple(dict.fromkeys((self.bronze_container, *self.allowed_containers)))

    @property
    def receivers(self) -> Receivers:
        return Receivers.parse(self.notify_hosts)

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(self.max_task_attempts, self.retry_base_seconds)

    @property
    def function_timeout_seconds(self) -> float:
        """How long a function may run: host.json, or the setting that overrides it."""
        return timespan_seconds(self.function_timeout or json.loads(HOST_JSON.read_text())["functionTimeout"])

    @property
    def route_prefix(self) -> str:
        """What every route begins with: `/api`."""
        prefix: str = json.loads(HOST_JSON.read_text())["extensions"]["http"]["routePrefix"]
        return f"/{prefix.strip('/')}".rstrip("/")

    @property
    def database_url(self) -> str:
        """Without the password: that is given per connection."""
        host = f"{quote(self.postgis_host)}:{self.postgis_port}"
        return f"postgresql://{quote(self.postgis_user, safe='')}@{host}/{quote(self.postgis_database)}"


def is_key(secret: str) -> bool:
    """A secret as Standard Webhooks writes it."""
    try:
        return secret.startswith("whsec_") and 24 <= len(base64.b64decode(secret[6:], validate=True)) <= 64
    except ValueError:
        return False


def timespan_seconds(text: str) -> float:
    """[d.]hh:mm:ss, as host.json writes it."""
    days, _, clock = text.rpartition(".") if "." in text.split(":")[0] else ("0", "", text)
    hours, minutes, seconds = clock.split(":")
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Raises pydantic.ValidationError naming the settings that are missing or wrong."""
    return Settings()
