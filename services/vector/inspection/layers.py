"""The layers of a file, as GDAL describes them without reading them."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import services.vector.gdal_environment  # noqa: F401  isort: skip  (before pyogrio: GDAL reads its settings then)
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from services.vector.ogr_layer import file_crs
from services.vector.source import crs_text

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layer:
    """features: None where only reading would tell. geometry_type: None for a table without geometry. bounds: in the
    layer's CRS, as the file says."""

    name: str
    features: int | None
    geometry_type: str | None
    crs: str | None
    bounds: Bounds | None = None


def layers_of(path: Path) -> list[Layer]:
    """Empty when GDAL does not read the file: its reader describes it then, or refuses it."""
    with warnings.catch_warnings():
        # That M will be lost is known.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return [_layer(path, str(name), kind) for name, kind in pyogrio.list_layers(path)]
        except (DataSourceError, DataLayerError):
            return []


def _layer(path: Path, name: str, geometry_type: str | None) -> Layer:
    info = pyogrio.read_info(path, layer=name)
    features = int(info["features"])
    return Layer(
        name=name,
        features=features if features >= 0 else None,
        geometry_type=geometry_type,
        crs=_crs(info) if geometry_type else None,
        bounds=_bounds(info["total_bounds"]) if geometry_type else None,
    )


def _crs(info: dict[str, Any]) -> str | None:
    try:
        crs: CRS | None = file_crs(info["crs"])
    except CRSError:
        return None
    return crs_text(crs) if crs else None


def _bounds(found: Sequence[float] | None) -> Bounds | None:
    if found is None or not all(map(math.isfinite, found)) or found[0] > found[2] or found[1] > found[3]:
        return None
    west, south, east, north = map(float, found)
    return west, south, east, north
