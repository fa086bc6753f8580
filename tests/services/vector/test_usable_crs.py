from pathlib import Path

import pytest

from services.vector.inspection.file import inspect_file
from services.vector.source import ReadOptions
from tests.services.vector.reading import feature, point, read, refusal, write_geojson, write_text

MARS, HEIGHTS, GEOCENTRIC, MERCATOR = "ESRI:104905", "EPSG:5703", "EPSG:4978", "EPSG:3857"


@pytest.mark.parametrize("crs", [MARS, HEIGHTS, GEOCENTRIC])
def test_a_crs_that_has_no_longitudes_is_refused_by_its_name(tmp_path: Path, crs: str) -> None:
    path = write_text(tmp_path / "a.csv", "x,y\n1,2\n")
    error = refusal(path, lat_name="y", lon_name="x", source_crs=crs)
    assert (error.code, error.parameter) == ("invalid_crs", "source_crs")
    assert crs in error.message


@pytest.mark.parametrize("crs", ["EPSG:7405", "EPSG:4979", "+proj=ob_tran +o_proj=longlat +o_lat_p=30 +type=crs"])
def test_a_crs_of_places_and_heights_or_of_turned_poles_is_used(tmp_path: Path, crs: str) -> None:
    path = write_text(tmp_path / "a.csv", "x,y\n1,2\n")
    assert len(read(path, lat_name="y", lon_name="x", source_crs=crs).wkb) == 1


def test_one_that_the_file_declares_is_refused_until_the_right_one_is_given(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": HEIGHTS}}
    path = write_geojson(tmp_path / "a.geojson", feature(point(1, 2)), crs=crs)
    found = inspect_file(path, path.suffix, ReadOptions(), seconds=10)
    assert "invalid_crs" in [refusal["code"] for refusal in found["refusals"]]
    assert len(read(path, source_crs=MERCATOR).wkb) == 1
