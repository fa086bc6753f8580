"""Columns that look like geometry: by their names, in several languages, and by their values."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.vector.geometry_columns import parse_numbers

# Latitude and longitude: a column of one goes with one of the other. The most telling first; without accents.
NAMES = (
    ("latitude", "longitude"),
    *(("lat", name) for name in ("lon", "lng", "long")),
    *(("breite", name) for name in ("lange", "laenge")),
    *(("breitengrad", name) for name in ("langengrad", "laengengrad")),
    ("latitud", "longitud"),
    ("latitudine", "longitudine"),
    ("szerokosc", "dlugosc"),
    ("breddegrad", "lengdegrad"),
    ("breddgrad", "langdgrad"),
    ("breedtegraad", "lengtegraad"),
    ("sirka", "delka"),
    ("enlem", "boylam"),
    ("широта", "долгота"),
    ("纬度", "经度"),
    ("緯度", "経度"),
    ("위도", "경도"),
)
# They mean coordinates only when nothing else but one of AFFIXES stands beside them.
WEAK_NAMES = (
    ("northing", "easting"),
    ("hochwert", "rechtswert"),
    ("nordwert", "ostwert"),
    ("north", "east"),
    ("nord", "ost"),
    ("nord", "est"),
    ("ycoord", "xcoord"),
    ("coordy", "coordx"),
    ("y", "x"),
)
AFFIXES = frozenset(
    {"geo", "gps", "coord", "coords", "coordinate", "koordinate", "koord", "point", "pos", "position", "center"}
    | {"centroid", "utm", "gk", "epsg", "etrs", "etrs89", "wgs", "wgs84", "lambert", "crs", "srs", "m"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_WKT = (
    r"(?i)^\s*(SRID\s*=\s*\d+\s*;)?\s*((MULTI)?(POINT|LINESTRING|POLYGON)|GEOMETRYCOLLECTION)\s*(ZM?|M)?\s*(\(|EMPTY)"
)
# In hexadecimal: byte order and a type below 18, with ISO's thousands or EWKB's flags for Z, M and SRID.
_WKB = r"(?i)^(01[0-9a-f]{2}0[0-9a-f]00[02468ace]0|00[02468ace]0000[0-9a-f]{3})[0-9a-f]{8,}$"
_EPSG_CODE = re.compile(r"\d{4,}")
_MOST = 0.9
_LARGEST_LAT, _LARGEST_LON = 90.0, 180.0


@dataclass(frozen=True)
class Candidate:
    column: str
    why: str


@dataclass
class Candidates:
    """Best first. `proposed`: what to send for them; empty when nothing plainly fits."""

    lat: list[Candidate] = field(default_factory=list)
    lon: list[Candidate] = field(default_factory=list)
    wkt: list[Candidate] = field(default_factory=list)
    wkb: list[Candidate] = field(default_factory=list)
    proposed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Named:
    """A column of numbers named as a coordinate. rank: of its pair of names, from 0."""

    candidate: Candidate
    rank: int
    decimal: str


def candidates(columns: Mapping[str, pa.Array], decimal: str) -> Candidates:
    """columns: (n,) values of each column in a sample, texts or numbers. decimal: the sign that is set for numbers."""
    texts = {name: _texts(values) for name, values in columns.items()}
    lat = sorted(_coordinates(texts, 0, _LARGEST_LAT, decimal), key=lambda named: named.rank)
    lon = sorted(_coordinates(texts, 1, _LARGEST_LON, decimal), key=lambda named: named.rank)
    found = Candidates(
        lat=[named.candidate for named in lat],
        lon=[named.candidate for named in lon],
        wkt=list(_written(texts, _WKT, "WKT")),
        wkb=list(_written(texts, _WKB, "WKB in hexadecimal")),
    )
    found.proposed = _proposed(found, lat, lon, decimal)
    return found


def _proposed(found: Candidates, lat: list[_Named], lon: list[_Named], decimal: str) -> dict[str, Any]:
    """WKT before coordinates, which may be a centre only. A pair of one language before a mixed one."""
    if found.wkt:
        return {"wkt_column": found.wkt[0].column}
    pairs = [(y, x) for y in lat for x in lon if y.candidate.column != x.candidate.column]
    if not pairs:
        return {}
    y, x = min(pairs, key=lambda pair: (pair[0].rank != pair[1].rank, pair[0].rank + pair[1].rank))
    names: dict[str, Any] = {"lat_name": y.candidate.column, "lon_name": x.candidate.column}
    return names | ({"converter_params": {"decimal": y.decimal}} if y.decimal != decimal else {})


def _coordinates(texts: Mapping[str, pa.StringArray], which: int, largest: float, decimal: str) -> Iterator[_Named]:
    """which: 0 for latitudes, 1 for longitudes."""
    for name, values in texts.items():
        rank = rank_of(name, which)
        sign = next((s for s in dict.fromkeys((decimal, ".", ",")) if _share_of_numbers(values, s) >= _MOST), None)
        if rank is not None and sign is not None:
            numbers = parse_numbers(values, sign)
            numbers = numbers[np.isfinite(numbers)]
            why = f"named {name!r}, with numbers from {numbers.min():.10g} to {numbers.max():.10g}"
            if np.abs(numbers).max() > largest:
                why += f", beyond {largest:.0f}: no degrees, so source_crs is needed"
            yield _Named(Candidate(name, why), rank, sign)


def rank_of(name: str, which: int) -> int | None:
    """Which pair of names it is one of; None when it does not sound like a coordinate."""
    words = words_of(name)
    for rank, pair in enumerate(NAMES):
        if pair[which] in words:
            return rank
    for rank, pair in enumerate(WEAK_NAMES, len(NAMES)):
        if pair[which] in words and set(words) - {pair[which]} <= AFFIXES:
            return rank
    return None


def words_of(name: str) -> list[str]:
    """In lower case, without accents: `Geo_Länge` -> geo, lange; `decimalLatitude` -> decimal, latitude."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.replace("ł", "l")) if not unicodedata.combining(c))
    return [word.lower() for word in _WORD.findall(plain) if not _EPSG_CODE.fullmatch(word)]


def _written(texts: Mapping[str, pa.StringArray], pattern: str, what: str) -> Iterator[Candidate]:
    for name, values in texts.items():
        if len(values) and (share := _share(pc.match_substring_regex(values, pattern))) >= _MOST:
            yield Candidate(name, f"{share:.0%} of its values are {what}")


def _share_of_numbers(values: pa.StringArray, decimal: str) -> float:
    return float(np.isfinite(parse_numbers(values, decimal)).mean()) if len(values) else 0.0


def _share(holds: pa.BooleanArray) -> float:
    return float(pc.mean(holds).as_py())


def _texts(values: pa.Array) -> pa.StringArray:
    """Those that are there, trimmed. Values of other types than texts and numbers are none."""
    kind = values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_floating(kind)):
        return pa.array([], pa.string())
    texts = pc.utf8_trim_whitespace(values.drop_null().cast(pa.string()))
    return texts.filter(pc.not_equal(texts, ""))
