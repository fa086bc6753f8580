"""A published table against what pyogrio and geopandas read from the same file."""

from collections.abc import Callable
from datetime import UTC, date
from typing import Any

import geopandas
import numpy as np
import pandas
import shapely

from tests.flow.flow import Flow, Json, Row

MULTI: dict[str, Callable[..., Any]] = {
    "Point": shapely.multipoints,
    "LineString": shapely.multilinestrings,
    "Polygon": shapely.multipolygons,
}
# Degrees: a tenth of a millimetre.
TOLERANCE = 1e-9


def assert_published(flow: Flow, table: str, job: Json, expected: geopandas.GeoDataFrame) -> list[Row]:
    """Count, extent, every attribute value and every geometry. Returns the rows."""
    result, rows = job["result_data"], flow.rows(table)
    wanted = expected[~(expected.geometry.isna() | expected.geometry.is_empty)]
    assert len(rows) == len(wanted)
    assert result["rows"]["read"] == len(expected)
    assert result["rows"]["loaded"] == len(wanted)
    assert sum(result["rows"]["rejected"].values()) == len(expected) - len(wanted)
    assert [row["id"] for row in rows] == [number + 1 for number in np.flatnonzero(expected.index.isin(wanted.index))]
    assert_geometries(rows, wanted)
    assert_extent(flow, table, result["table"]["bbox"], wanted)
    assert_attributes(rows, result["table"]["columns"], pandas.DataFrame(wanted.drop(columns=wanted.geometry.name)))
    return rows


def assert_geometries(rows: list[Row], expected: geopandas.GeoDataFrame) -> None:
    wanted = shapely.force_2d(expected.to_crs(4326).geometry.to_numpy())
    broken = ~shapely.is_valid(wanted)
    wanted[broken] = shapely.make_valid(wanted[broken], method="structure", keep_collapsed=False)
    found = np.array([row["geom"] for row in rows], object)
    if set(shapely.get_type_id(wanted)) != {shapely.GeometryType.POINT}:
        wanted = np.array([promoted(geometry) for geometry in wanted], object)
    same = shapely.equals_exact(found, wanted, TOLERANCE)
    assert same.all(), (found[~same][:1], wanted[~same][:1])


def promoted(geometry: Any) -> Any:
    return MULTI[geometry.geom_type]([geometry]) if geometry.geom_type in MULTI else geometry


def assert_extent(flow: Flow, table: str, told: list[float], expected: geopandas.GeoDataFrame) -> None:
    wanted = expected.to_crs(4326).total_bounds
    assert np.allclose(told, wanted, rtol=0, atol=TOLERANCE)
    box = flow.one(
        f"SELECT ST_XMin(e) AS w, ST_YMin(e) AS s, ST_XMax(e) AS e, ST_YMax(e) AS n"  # noqa: S608
        f" FROM (SELECT ST_Extent(geom) AS e FROM geo.{table}) AS x"
    )
    assert list(box.values()) == told


def assert_attributes(rows: list[Row], columns: list[Json], expected: pandas.DataFrame) -> None:
    """Every column of the file is one of the table, in the file's order, and holds the same values."""
    assert [column["source"] for column in columns] == list(expected.columns)
    for column in columns:
        found = [in_utc(row[column["name"]]) for row in rows]
        wanted = [plain(value, column["pg_type"]) for value in expected[column["source"]]]
        assert found == wanted, column


def in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if getattr(value, "tzinfo", None) else value


def plain(value: Any, pg_type: str) -> Any:
    """A value of pandas as psycopg gives it. NaN is null."""
    if value is None or value is pandas.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, pandas.Timestamp):
        moment = value.to_pydatetime()
        return moment.date() if pg_type == "date" else in_utc(moment)
    return value if not isinstance(value, date) or pg_type == "date" else in_utc(value)
