"""Under which address the app is known to those who call it."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import azure.functions as func

from core.config import Settings, settings

AUTHORITY = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)
PREFIX = re.compile(r"(/[\w~-][\w.~-]*)*/?", re.ASCII)
USUAL_PORTS = {"http": "80", "https": "443"}


def api_base(url: str, headers: Mapping[str, str], config: Settings) -> str:
    """What comes before a route: https://HOST/api, no slash at its end.

    PUBLIC_BASE_URL where it is set. Else where the request went: X-Forwarded-Proto, -Host, -Port and -Prefix of the
    outermost proxy win over the URL that the host gives, and what is no scheme, host or path among them is ignored.
    headers: names in lower case.
    """
    if config.public_base_url:
        return config.public_base_url
    called = urlsplit(url)
    scheme = forwarded(headers, "proto", re.compile("https?")) or called.scheme
    authority = forwarded(headers, "host", AUTHORITY)
    port = forwarded(headers, "port", re.compile(r"\d{1,5}"))
    if authority and port and ":" not in authority.rpartition("]")[2] and port != USUAL_PORTS[scheme]:
        authority = f"{authority}:{port}"
    prefix = (forwarded(headers, "prefix", PREFIX) or "").rstrip("/")
    return f"{scheme}://{authority or called.netloc}{prefix}{config.route_prefix}"


def base_of(req: func.HttpRequest) -> str:
    """`api_base`, for a request."""
    return api_base(req.url, {name.lower(): value for name, value in req.headers.items()}, settings())


def forwarded(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> str | None:
    """What the outermost proxy says, when it is of that form."""
    said = headers.get(f"x-forwarded-{name}", "").split(",")[0].strip()
    return said if form.fullmatch(said) else None
