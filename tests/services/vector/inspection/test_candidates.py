from typing import Any

import pyarrow as pa
import pytest
import shapely

from services.vector.inspection.candidates import Candidates, candidates

LATS: list[str | None] = ["50.1", "51.2", ""]
LONS: list[str | None] = ["6.9", "7.5", None]


Columns = dict[str, list[str | None]]


def found_in(columns: Columns, decimal: str = ".") -> Candidates:
    return candidates({name: pa.array(values, pa.string()) for name, values in columns.items()}, decimal)


def found(**columns: list[str | None]) -> Candidates:
    return found_in(columns)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        ("lat", "lon"),
        ("LATITUDE", "LONGITUDE"),
        ("decimalLatitude", "decimalLongitude"),
        ("geo_lat", "geo_lng"),
        ("Breite", "Länge"),
        ("breitengrad", "laengengrad"),
        ("latitud", "longitud"),
        ("latitudine", "longitudine"),
        ("szerokość", "długość"),
        ("широта", "долгота"),
        ("緯度", "経度"),
        ("y", "x"),
        ("POINT_Y", "POINT_X"),
        ("YCOORD", "XCOORD"),
        ("y_25832", "x_25832"),
        ("Hochwert", "Rechtswert"),
        ("northing", "easting"),
    ],
)
def test_coordinates_are_known_by_their_names(lat: str, lon: str) -> None:
    told = found_in({"id": ["1", "2", "3"], lon: LONS, lat: LATS})
    assert told.proposed == {"lat_name": lat, "lon_name": lon}
    assert "from 50.1 to 51.2" in told.lat[0].why


@pytest.mark.parametrize("name", ["plat", "flatrate", "north_sales", "xylophone", "y2", "longitude_text", "lonlat"])
def test_what_merely_sounds_alike_is_none(name: str) -> None:
    values: list[str | None] = ["a", "b"] if name.endswith("_text") else ["1", "2"]
    told = found_in({name: values})
    assert (told.lat, told.lon, told.proposed) == ([], [], {})


def test_names_of_one_pair_go_together() -> None:
    told = found(x=["365000"], y=["5621000"], latitude=["50.7"], longitude=["7.1"])
    assert told.proposed == {"lat_name": "latitude", "lon_name": "longitude"}
    assert [candidate.column for candidate in told.lat] == ["latitude", "y"]
    assert "source_crs is needed" in told.lat[1].why


def test_a_name_without_its_counterpart_is_not_proposed() -> None:
    assert found(lat=["50.1"], name=["a"]).proposed == {}


def test_numbers_with_a_decimal_comma_are_proposed_with_it() -> None:
    told = found(lat=["50,1"], lon=["6,9"])
    assert told.proposed == {"lat_name": "lat", "lon_name": "lon", "converter_params": {"decimal": ","}}
    assert "converter_params" not in found_in({"lat": ["50,1"], "lon": ["6,9"]}, ",").proposed


@pytest.mark.parametrize("text", ["POINT (1 2)", "srid=4326;Polygon((0 0,1 0,1 1,0 0))", " MULTIPOINT Z EMPTY"])
def test_wkt_is_known_by_its_values_whatever_its_name(text: str) -> None:
    told = found(lat=["1"], lon=["2"], anything=[text])
    assert told.proposed == {"wkt_column": "anything"}


@pytest.mark.parametrize("options", [{}, {"byte_order": 0}, {"flavor": "iso"}, {"include_srid": True}])
@pytest.mark.parametrize("shape", [shapely.Point(1, 2, 3), shapely.box(0, 0, 1, 1)])
def test_wkb_is_told_but_not_proposed(options: dict[str, Any], shape: shapely.Geometry) -> None:
    written: str = shapely.to_wkb(shapely.set_srid(shape, 4326), hex=True, **options)
    told = found(geom=[written])
    assert [candidate.column for candidate in told.wkb] == ["geom"]
    assert told.proposed == {}


def test_most_of_the_values_have_to_fit() -> None:
    assert found(lat=["n/a", "50.1"], lon=["6", "7"]).lat == []
    assert found(shape=["POINT (1 2)", "nowhere"]).wkt == []


def test_numbers_that_come_as_numbers_are_looked_at_too() -> None:
    columns = {"lat": pa.array([50.1, None]), "lon": pa.array([6.9, 7.0]), "raw": pa.array([b"x", b"y"])}
    assert candidates(columns, ".").proposed == {"lat_name": "lat", "lon_name": "lon"}
