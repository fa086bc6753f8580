"""Real files that packages on this machine ship, and small ones that are written here."""

import io
import json
import zipfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import geopandas
import pyogrio

from tests.flow.flow import Json

COUNTRIES = "tests/fixtures/naturalearth_lowres"
SHAPEFILE_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def of_package(package: str, path: str) -> Path:
    """A file inside an installed package."""
    with as_file(files(package).joinpath(path)) as found:
        return Path(found)


def countries() -> geopandas.GeoDataFrame:
    """177 countries of Natural Earth, polygons and multipolygons."""
    return pyogrio.read_dataframe(of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp"))


def airports() -> Path:
    """3376 airports of the USA: CSV with longitude and latitude."""
    return of_package("vega_datasets", "_data/airports.csv")


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def shapefile_parts(path: Path) -> dict[str, bytes]:
    """The shapefile and its sidecars by their suffix."""
    return {suffix: found.read_bytes() for suffix in SHAPEFILE_PARTS if (found := path.with_suffix(suffix)).exists()}


def written(frame: geopandas.GeoDataFrame, path: Path, driver: str | None = None, **options: object) -> Path:
    pyogrio.write_dataframe(frame, path, driver=driver, **options)
    return path


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode() + b"\n"


def feature(properties: Json, geometry: Json | None = None) -> Json:
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": geometry or {"type": "Point", "coordinates": [10, 50]},
    }


def geojson(*features: Json, **members: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features, **members}).encode()
