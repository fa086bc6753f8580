"""Large vector files of one content in several formats, written fast: a block of features, again and again.

The features are polygons of 25 points with six attributes, from a fixed seed. A file ends with the block with which it
reaches its size.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import services.vector.gdal_environment  # noqa: F401  isort: skip  (as in the app)
import geopandas
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

Points = NDArray[np.float64]

Writer = Callable[[Path, int], int]

SEED = 7
BLOCK_ROWS = 20_000
VERTICES = 25
KINDS = np.array(["residential", "commercial", "school", "garage"])

CSV_HEADER = "number,name,kind,height,is_public,built,shape\n"
KML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n'
PLACEMARK = (
    "<Placemark>{}<Polygon><outerBoundaryIs><LinearRing><coordinates>{}</coordinates></LinearRing></outerBoundaryIs>"
    "</Polygon></Placemark>\n"
)


def features(count: int = BLOCK_ROWS) -> geopandas.GeoDataFrame:
    """Buildings of a sort, in lon/lat."""
    random = np.random.default_rng(SEED)
    columns = {
        "number": np.arange(count),
        "name": [f"Building {n % 997} in a street with a name" for n in range(count)],
        "kind": random.choice(KINDS, count),
        "height": np.round(random.gamma(2, 4, count), 2),
        "is_public": random.random(count) < 0.2,
        "built": [f"{year}-06-15" for year in random.integers(1900, 2024, count)],
    }
    centres = random.uniform([5, 45], [15, 55], (count, 2))
    rings = np.stack([ring(random, VERTICES) for _ in range(100)])[np.arange(count) % 100]
    return geopandas.GeoDataFrame(columns, geometry=shapely.polygons(centres[:, None] + 1e-3 * rings), crs=4326)


def ring(random: np.random.Generator, vertices: int, roughness: float = 0.5) -> Points:
    """(vertices, 2): closed, and valid because each ray from the origin meets it once."""
    angle = np.linspace(0, 2 * np.pi, vertices)
    radius = random.uniform(1 - roughness, 1, (vertices, 1))
    points = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    points[-1] = points[0]
    return np.asarray(points)


def write_csv(path: Path, size: int) -> int:
    frame = features()
    table = frame.drop(columns="geometry").assign(shape=frame.geometry.to_wkt())
    block = table.to_csv(index=False, header=False).encode()
    return write_blocks(path, CSV_HEADER.encode(), block, b"", size)


def write_geojson(path: Path, size: int) -> int:
    block = ",\n".join(json.dumps(feature) for feature in features().iterfeatures(drop_id=True)).encode()
    head = b'{"type": "FeatureCollection", "features": [\n'
    return write_blocks(path, head, block, b"\n]}\n", size, separator=b",\n")


def write_kml(path: Path, size: int) -> int:
    block = "".join(placemark(feature) for feature in features().iterfeatures(drop_id=True)).encode()
    return write_blocks(path, KML_HEAD.encode(), block, b"</Document></kml>\n", size)


def placemark(feature: dict[str, Any]) -> str:
    data = "".join(
        f'<Data name="{name}"><value>{value}</value></Data>' for name, value in feature["properties"].items()
    )
    return PLACEMARK.format(f"<ExtendedData>{data}</ExtendedData>", kml_text(feature["geometry"]["coordinates"][0]))


def kml_text(points: Any) -> str:
    return " ".join(f"{x!r},{y!r}" for x, y in np.asarray(points).tolist())


def write_blocks(path: Path, head: bytes, block: bytes, tail: bytes, size: int, separator: bytes = b"") -> int:
    """Returns the number of rows."""
    blocks = max(1, round((size - len(head)) / len(block)))
    with path.open("wb") as file:
        file.write(head)
        for number in range(blocks):
            file.write(separator * (number > 0) + block)
        file.write(tail)
    return blocks * BLOCK_ROWS


def write_geopackage(path: Path, size: int) -> int:
    return append_blocks(path, size, SPATIAL_INDEX="NO")


def write_zipped_shapefile(path: Path, size: int) -> int:
    """size: of the .shp and the .dbf, before they are zipped."""
    shape = path.with_suffix(".shp")
    rows = append_blocks(shape, size)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in shape.parent.glob(f"{shape.stem}.*"):
            if part != path:
                archive.write(part, part.name)
                part.unlink()
    return rows


def append_blocks(path: Path, size: int, **options: str) -> int:
    frame, rows = features(), 0
    while not path.exists() or sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*")) < size:
        pyogrio.write_dataframe(frame, path, append=path.exists(), **options)
        rows += len(frame)
    return rows


def write_one_geojson_feature(path: Path, size: int) -> int:
    points = large_ring(size)
    head = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"n": 1}, "geometry": '
    text = json.dumps({"type": "Polygon", "coordinates": [points.tolist()]})
    path.write_text(f"{head}{text}}}]}}")
    return 1


def write_one_placemark(path: Path, size: int) -> int:
    path.write_text(f"{KML_HEAD}{PLACEMARK.format('<name>n</name>', kml_text(large_ring(size)))}</Document></kml>")
    return 1


def large_ring(size: int) -> Points:
    """About so many bytes as text, 39 a point. Smooth, so that GEOS sees in seconds that it is valid."""
    return 10 * ring(np.random.default_rng(SEED), size // 39, roughness=1e-7)
