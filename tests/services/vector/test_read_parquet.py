import datetime as dt
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from services.vector.columns import cast_batch
from tests.services.vector.reading import read, refusal, write_text

COUNTRIES = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
SQUARE = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(1, 1, 2, 2).exterior])


def countries() -> gpd.GeoDataFrame:
    return pyogrio.read_dataframe(COUNTRIES)


def rewritten(path: Path, **about: Any) -> Path:
    """The same file with other statements about its primary geometry column; None removes one."""
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]] | about
    geo["columns"][geo["primary_column"]] = {name: value for name, value in column.items() if value != "absent"}
    fields = [field.remove_metadata() for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields, {"geo": json.dumps(geo)})), path)
    return path


@pytest.mark.parametrize("options", [{}, {"geometry_encoding": "geoarrow"}, {"schema_version": "1.0.0"}])
@pytest.mark.parametrize("suffix", ["parquet", "geoparquet"])
def test_countries_of_geopandas_come_back_value_by_value(tmp_path: Path, options: dict[str, str], suffix: str) -> None:
    frame = countries()
    if "geometry_encoding" in options:
        # A native column is of one type.
        frame = frame.explode(ignore_index=True)
    frame.to_parquet(tmp_path / f"a.{suffix}", row_group_size=50, **options)
    source = read(tmp_path / f"a.{suffix}")
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "file")
    assert source.source.feature_count == len(source.wkb) == len(frame)
    assert shapely.equals_identical(source.geometries, frame.geometry.to_numpy()).all()
    for column in frame.columns.drop("geometry"):
        assert source.table[column].to_pylist() == frame[column].to_list()


@pytest.mark.parametrize(
    "shapes",
    [
        [shapely.Point(1, 2), None, shapely.Point(3, 4)],
        [shapely.LineString([(0, 0), (1, 1)]), None, shapely.LineString([(2, 2), (3, 3), (4, 5)])],
        [SQUARE, shapely.box(20, 20, 21, 21), None],
        [None, shapely.MultiPoint([(1, 2), (3, 4)])],
        [shapely.MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]]), None],
        [shapely.MultiPolygon([SQUARE, shapely.box(20, 20, 21, 21)]), None, shapely.MultiPolygon([SQUARE])],
    ],
)
def test_every_native_encoding_is_read_with_its_nulls(tmp_path: Path, shapes: list[Any]) -> None:
    frame = gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=shapes, crs=25832)
    frame.to_parquet(tmp_path / "a.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    source = read(tmp_path / "a.parquet")
    assert source.geometries == shapes
    assert source.source.crs_text == "EPSG:25832"


def test_large_geometries_come_in_small_batches(tmp_path: Path) -> None:
    rings = [shapely.Point(n, 0).buffer(1, quad_segs=20_000) for n in range(40)]
    gpd.GeoDataFrame({"n": range(40)}, geometry=rings, crs=4326).to_parquet(tmp_path / "a.parquet", compression=None)
    source = read(tmp_path / "a.parquet")
    assert len(source.wkb) == 40
    assert max(batch.geometry.nbytes for batch in source.batches) < 20 << 20


def test_without_a_statement_about_the_crs_it_is_crs84(tmp_path: Path) -> None:
    countries().to_parquet(tmp_path / "a.parquet")
    source = read(rewritten(tmp_path / "a.parquet", crs="absent")).source
    assert (source.crs_text, source.crs_found_in) == ("OGC:CRS84", "file")


def test_a_crs_that_is_said_to_be_unknown_has_to_be_given(tmp_path: Path) -> None:
    countries().to_parquet(tmp_path / "a.parquet")
    path = rewritten(tmp_path / "a.parquet", crs=None)
    assert (refusal(path).code, refusal(path).parameter) == ("crs_missing", "source_crs")
    assert read(path, source_crs="EPSG:3857").source.crs_found_in == "parameter"


def test_a_crs_with_heights_is_taken_without_them(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[shapely.Point(4e5, 5e6, 3)], crs="EPSG:25832+7837").to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").source.crs_text == "EPSG:25832"


def test_bounds_of_the_geometries_are_no_attribute(tmp_path: Path) -> None:
    countries().to_parquet(tmp_path / "a.parquet", write_covering_bbox=True, schema_version="1.1.0")
    assert "bbox" in pq.read_schema(tmp_path / "a.parquet").names
    assert "bbox" not in read(tmp_path / "a.parquet").table.column_names


def test_another_geometry_column_than_the_primary_one_can_be_named(tmp_path: Path) -> None:
    frame = countries().assign(centre=countries().geometry.representative_point().set_crs(4326))
    frame.to_parquet(tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet", wkb_column="centre")
    assert {geometry.geom_type for geometry in source.geometries} == {"Point"}
    assert source.table.column_names[-1] == "geometry"


@pytest.mark.parametrize(
    "about",
    [{"encoding": "TWKB"}, {"encoding": "absent"}, {"crs": "EPSG:1"}, {"crs": {"type": "none"}}],
)
def test_metadata_that_makes_no_sense_is_refused(tmp_path: Path, about: dict[str, Any]) -> None:
    countries().to_parquet(tmp_path / "a.parquet")
    assert refusal(rewritten(tmp_path / "a.parquet", **about)).code == "unreadable_file"


def test_values_of_every_type_reach_the_table(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    key = uuid.uuid4()
    table = pa.table(
        {
            "lon": [8.5],
            "lat": pa.array([Decimal("47.25")], pa.decimal128(9, 2)),
            "i": pa.array([2**63 - 1], pa.int64()),
            "u": pa.array([2**64 - 1], pa.uint64()),
            "f": pa.array([1.5], pa.float32()),
            "b": [True],
            "d": [dt.date(2020, 1, 2)],
            "t": [moment.replace(tzinfo=None)],
            "z": pa.array([moment], pa.timestamp("ns", "Europe/Berlin")),
            "m": pa.array([Decimal("12.50")], pa.decimal128(9, 2)),
            "s": pa.array(["ü"]).dictionary_encode(),
            "l": [[1, 2]],
            "o": [{"k": "v"}],
            "y": [b"\x00\xff"],
            "k": pa.array([key.bytes], pa.uuid()),
            "n": pa.nulls(1),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet", lat_name="lat", lon_name="lon")
    assert source.geometries == [shapely.Point(8.5, 47.25)]
    types = {column.name: column.type for column in source.plan.columns}
    assert types == {
        "lon": "double precision", "lat": "numeric(9, 2)", "i": "bigint", "u": "numeric(20, 0)",
        "f": "double precision", "b": "boolean", "d": "date", "t": "timestamp", "z": "timestamptz",
        "m": "numeric(9, 2)", "s": "text",
        "l": "jsonb", "o": "jsonb", "y": "bytea", "k": "text", "n": "text",
    }  # fmt: skip
    (row,) = cast_batch(source.batches[0].attributes, source.plan).to_pylist()
    assert row == {
        "lon": 8.5, "lat": Decimal("47.25"), "i": 2**63 - 1, "u": Decimal(2**64 - 1), "f": 1.5, "b": True,
        "d": dt.date(2020, 1, 2), "t": moment.replace(tzinfo=None), "z": moment, "m": Decimal("12.50"), "s": "ü",
        "l": "[1, 2]", "o": '{"k": "v"}', "y": b"\x00\xff", "k": str(key), "n": None,
    }  # fmt: skip


def test_coordinates_of_a_plain_parquet_may_be_missing_or_wrong(tmp_path: Path) -> None:
    frame = pd.DataFrame({"lat": [1.0, np.nan, 91.0, np.inf], "lon": [2, 3, 4, 5]})
    frame.to_parquet(tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet", lat_name="lat", lon_name="lon")
    assert source.reasons == [None, "null_geometry", "axes_swapped", "unreadable_coordinates"]
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "format")


def test_a_column_of_wkb_or_wkt_in_a_plain_parquet_is_read_when_it_is_named(tmp_path: Path) -> None:
    points = [shapely.Point(1, 2), None]
    ewkb = shapely.to_wkb(shapely.set_srid(np.array([shapely.Point(4e5, 5e6)] * 2, object), 25832), include_srid=True)
    table = pa.table({"wkb": shapely.to_wkb(points), "wkt": shapely.to_wkt(points), "ewkb": ewkb, "n": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    for given in ({"wkb_column": "wkb"}, {"wkt_column": "wkt"}):
        source = read(tmp_path / "a.parquet", **given)
        assert source.geometries == points
        assert source.reasons == [None, "null_geometry"]
        assert source.source.crs_found_in == "format"
    assert read(tmp_path / "a.parquet", wkb_column="ewkb").source.crs_text == "EPSG:25832"


def test_a_column_that_cannot_be_the_geometry_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"flag": [True], "n": [1]}), tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").code == "geometry_columns_missing"
    error = refusal(tmp_path / "a.parquet", lat_name="flag", lon_name="n")
    assert (error.code, error.parameter) == ("wrong_column_type", "lat_name")
    assert refusal(tmp_path / "a.parquet", wkb_column="n").code == "wrong_column_type"
    assert refusal(tmp_path / "a.parquet", wkb_column="x").code == "column_not_found"


def test_another_name_than_the_files_is_no_layer_of_it(tmp_path: Path) -> None:
    countries().to_parquet(tmp_path / "countries.parquet")
    assert read(tmp_path / "countries.parquet", layer_name="countries").source.layer == "countries"
    assert refusal(tmp_path / "countries.parquet", layer_name="rivers").code == "layer_not_found"


@pytest.mark.parametrize("kept", [0.02, 0.6, 0.99])
def test_a_parquet_that_is_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    countries().to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: int(len(content) * kept)])
    error = refusal(tmp_path / "a.parquet")
    assert error.code == "unreadable_file"
    assert str(tmp_path) not in error.message


def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    countries().to_parquet(tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[len(content) // 3 : len(content) // 3 + 4000] = b"\xa5" * 4000
    (tmp_path / "a.parquet").write_bytes(content)
    assert refusal(tmp_path / "a.parquet").code == "unreadable_file"


def test_other_content_is_no_parquet(tmp_path: Path) -> None:
    assert refusal(write_text(tmp_path / "a.parquet", "lat,lon\n1,2\n")).code == "content_mismatch"
