"""What clients of the served tables do."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urldefrag

import httpx
import pytest

from tests.flow.flow import Flow, Json

PLACE = {"lat_name": "lat", "lon_name": "lon"}
GRID = "WebMercatorQuad"


def collection(flow: Flow, table: str) -> str:
    return f"/api/features/collections/geo.{table}"


def got(flow: Flow, path: str, **query: Any) -> Json:
    """What an address answers that must be there."""
    answer = flow.http.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def items(flow: Flow, table: str, **query: Any) -> list[Json]:
    features: list[Json] = got(flow, f"{collection(flow, table)}/items", **query)["features"]
    return features


def refusal(answer: httpx.Response, status: int, code: str) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: Json = answer.json()
    assert told["code"] == code, told
    return told


def ogrinfo(*arguments: str, **settings: str) -> str:
    """What GDAL's own program says; its drivers, not the app's."""
    if not which("ogrinfo"):
        pytest.skip("ogrinfo is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GDAL_", "OGR_"))}
    done = subprocess.run(
        ["ogrinfo", "-ro", *arguments], env=environment | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def features_of_tile(tile: bytes, folder: Path) -> str:
    (path := folder / "0.mvt").write_bytes(tile)
    return ogrinfo("-al", f"MVT:{path}")


def links(told: Any) -> Iterator[tuple[str, str]]:
    """Every link of an answer, as method and address."""
    if isinstance(told, dict):
        if isinstance(href := told.get("href"), str):
            yield told.get("method", "GET"), urldefrag(href)[0]
        for address in told.get("tiles", ()) if "tilejson" in told else ():
            yield "GET", address
        for name, value in told.items():
            if name == "links" and isinstance(value, dict):
                yield from (("GET", address) for address in value.values() if isinstance(address, str))
            yield from links(value)
    for each in told if isinstance(told, list) else ():
        yield from links(each)


def crawled(http: httpx.Client, start: str, fill: dict[str, str], ours: str) -> dict[str, int]:
    """The status of every address that is reached from the first. fill: what stands for the parts of a template."""
    waiting = [("GET", start)]
    seen: dict[str, int] = {}
    while waiting:
        method, address = waiting.pop()
        for name, value in fill.items():
            address = address.replace(f"{{{name}}}", value)
        if (known := f"{method} {address}") in seen or not address.startswith(ours):
            continue
        assert len(seen) < 200, "the answers lead on and on"
        answer = http.request(method, address, json={} if method == "POST" else None)
        seen[known] = answer.status_code
        if (
            answer.status_code == 200
            and "json" in answer.headers["content-type"]
            and "-seq" not in (answer.headers["content-type"])
        ):
            waiting += links(answer.json())
    return seen
