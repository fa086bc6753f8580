"""Links name the host that the client knows, and none that it made up."""

from typing import Any

import pytest

from core.config import Settings
from triggers.addresses import api_base

CALLED = "http://10.0.0.4:7071/api/jobs"


REQUIRED = {
    "postgis_host": "db",
    "postgis_user": "etl",
    "postgis_password": "p",
    "blob_connection_string": "b",
    "ServiceBusConnection": "s",
}


def base(headers: dict[str, str], **settings: Any) -> str:
    return api_base(CALLED, headers, Settings.model_validate(REQUIRED | settings))


def test_without_a_proxy_it_is_where_the_request_went() -> None:
    assert base({"host": "10.0.0.4:7071"}) == "http://10.0.0.4:7071/api"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"host": "maps.org"}, "http://maps.org/api"),
        ({"host": "maps.org", "proto": "https"}, "https://maps.org/api"),
        ({"host": "maps.org", "proto": "https", "port": "443"}, "https://maps.org/api"),
        ({"host": "maps.org", "proto": "https", "port": "8443"}, "https://maps.org:8443/api"),
        ({"host": "maps.org:8443", "port": "443"}, "http://maps.org:8443/api"),
        ({"host": "maps.org, inner.local", "proto": "https, http"}, "https://maps.org/api"),
        ({"host": "[2001:db8::1]", "port": "8080"}, "http://[2001:db8::1]:8080/api"),
        ({"host": "maps.org", "prefix": "/gis/"}, "http://maps.org/gis/api"),
        ({"proto": "https"}, "https://10.0.0.4:7071/api"),
    ],
)
def test_a_proxy_tells_where_it_was_called(headers: dict[str, str], told: str) -> None:
    assert base({f"x-forwarded-{name}": value for name, value in headers.items()}) == told


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "maps.org/evil"},
        {"host": 'maps.org"><script>'},
        {"host": "user@maps.org"},
        {"proto": "javascript"},
        {"prefix": "//evil.org"},
        {"prefix": "/../.."},
        {"port": "80@evil.org"},
    ],
)
def test_what_is_no_address_is_ignored(headers: dict[str, str]) -> None:
    assert base({f"x-forwarded-{name}": value for name, value in headers.items()}) == "http://10.0.0.4:7071/api"


def test_the_setting_wins_over_what_anybody_says() -> None:
    headers = {"x-forwarded-host": "evil.org", "x-forwarded-prefix": "/gis"}
    assert base(headers, public_base_url="https://maps.org/vector/") == "https://maps.org/vector"


@pytest.mark.parametrize("url", ["maps.org/api", "ftp://maps.org", "https://maps.org/api?x=1", "https://"])
def test_a_public_base_that_is_no_url_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="PUBLIC_BASE_URL"):
        base({}, public_base_url=url)
