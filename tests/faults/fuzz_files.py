"""Small files of every format the app reads, and what chance makes of them."""

import io
import random
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import shapely

from tests.gdal_process import write_by_gdal

PLACED = {"lat_name": "lat", "lon_name": "lon"}
# Of the archives, so many are changed themselves, not a member.
RAW = 0.15
# One change leaves most of a file as it was; each further one comes with this probability.
ANOTHER = 0.4
# What parsers stumble over: signs of other meaning, ends of ranges, halves of characters.
TOKENS = (
    *(b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\x00", b"<", b">", b"</", b"&", b"]]>", b"<!--", b"{", b"}", b"["),
    *(b"]", b"\\", b"\\u", b"\\ud800", b"null", b"NaN", b"-", b"1e999", b"-0", b"9223372036854775808", b"0" * 40),
    *(
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\xf0\x9f",
        b"%s",
        b"'; --",
        b"EMPTY",
        b"MULTI",
        b" ",
        b"=",
        b"PK\x03\x04",
    ),
)
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000, 3001, 1000017)


@dataclass(frozen=True)
class Seed:
    """A good file: its name, its bytes, and what a request says about it."""

    name: str
    content: bytes
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_archive(self) -> bool:
        return zipfile.is_zipfile(io.BytesIO(self.content))


@dataclass(frozen=True)
class Mutant:
    """A file that chance has changed. changes: how, in words. params: of the request that loads it."""

    name: str
    content: bytes
    changes: Sequence[str]
    params: Mapping[str, Any]


@cache
def seeds() -> dict[str, Seed]:
    """One by each name of a format."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: Seed(*made) for name, made in _made(Path(folder)).items()}


def _made(folder: Path) -> dict[str, tuple[Any, ...]]:
    shapes, places = polygons(), points()
    table = places.drop(columns="geometry").assign(lat=places.geometry.y, lon=places.geometry.x)
    wkt = shapes.drop(columns="geometry").assign(shape=shapes.geometry.to_wkt())
    table.to_excel(folder / "a.xlsx", index=False)
    shapes.to_parquet(folder / "a.parquet")
    kml = write_by_gdal(places[["name", "geometry"]], folder / "a.kml", "LIBKML").read_bytes()
    geojson = write_by_gdal(shapes, folder / "a.geojson", "GeoJSON").read_bytes()
    lines = write_by_gdal(places, folder / "lines.geojson", "GeoJSONSeq").read_bytes()
    gml = write_by_gdal(shapes, folder / "a.gml", "GML").read_bytes()
    gpx = write_by_gdal(places[["name", "geometry"]], folder / "a.gpx", "GPX").read_bytes()
    for name in ("a.gpkg", "a.fgb", "a.shp"):
        pyogrio.write_dataframe(shapes, folder / name)
    pyogrio.write_dataframe(shapes, folder / "a.gdb", driver="OpenFileGDB", promote_to_multi=True)
    shapefile = {part.name: part.read_bytes() for part in sorted(folder.glob("a.*")) if part.suffix in _SHAPEFILE}
    geodatabase = {f"a.gdb/{part.name}": part.read_bytes() for part in sorted((folder / "a.gdb").iterdir())}
    return {
        "csv": ("a.csv", table.to_csv(index=False).encode(), PLACED),
        "csv with wkt": ("a.csv", wkt.to_csv(index=False).encode(), {"wkt_column": "shape"}),
        "tsv": ("a.tsv", table.to_csv(index=False, sep="\t", encoding="cp1252").encode("cp1252"), PLACED),
        "xlsx": ("a.xlsx", (folder / "a.xlsx").read_bytes(), PLACED),
        "geojson": ("a.geojson", geojson),
        "geojson lines": ("a.geojson", lines),
        "gpkg": ("a.gpkg", (folder / "a.gpkg").read_bytes()),
        "fgb": ("a.fgb", (folder / "a.fgb").read_bytes()),
        "parquet": ("a.parquet", (folder / "a.parquet").read_bytes()),
        "gml": ("a.gml", gml),
        "gpx": ("a.gpx", gpx),
        "kml": ("a.kml", kml),
        "kmz": ("a.kmz", zipped({"doc.kml": kml})),
        "shapefile": ("a.zip", zipped(shapefile)),
        "geodatabase": ("a.gdb.zip", zipped(geodatabase)),
    }


_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def polygons(count: int = 12) -> geopandas.GeoDataFrame:
    """Every third with a hole, every fourth of two parts, each fifth crossing itself."""
    shapes = []
    for n in range(count):
        shape: Any = shapely.box(n, n, n + 1, n + 1)
        if n % 3 == 0:
            shape = shape - shapely.box(n + 0.2, n + 0.2, n + 0.4, n + 0.4)
        if n % 4 == 0:
            shape = shape | shapely.box(n + 2, n, n + 3, n + 1)
        if n % 5 == 0:
            shape = shapely.Polygon([(n, n), (n + 1, n + 1), (n + 1, n), (n, n + 1)])
        shapes.append(shape)
    return geopandas.GeoDataFrame(attributes(count), geometry=shapes, crs=4326)


def points(count: int = 12) -> geopandas.GeoDataFrame:
    places = [shapely.Point(n * 1.5, 50 - n) for n in range(count)]
    return geopandas.GeoDataFrame(attributes(count), geometry=places, crs=4326)


def attributes(count: int) -> dict[str, list[Any]]:
    return {
        "name": [f"Straße {n}, „Süd“" for n in range(count)],
        "number": [2**40 + n for n in range(count)],
        "share": [n / 7 for n in range(count)],
        "seen": [datetime(2024, 2, 1 + n, 12, 30, tzinfo=UTC).replace(tzinfo=None) for n in range(count)],
    }


def zipped(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def mutant(seed: Seed, rng: random.Random) -> Mutant:
    """Every other request takes whatever rows are left."""
    params = dict(seed.params) | rng.choice(({}, {"max_reject_percent": 100}))
    return Mutant(seed.name, *changed_inside(seed, rng), params)


def changed_inside(seed: Seed, rng: random.Random) -> tuple[bytes, list[str]]:
    """Mostly inside a member, where the file is an archive: else only the reader of archives would see it."""
    if not seed.is_archive or rng.random() < RAW:
        return changed(seed.content, rng)
    with zipfile.ZipFile(io.BytesIO(seed.content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = rng.choice([name for name, content in members.items() if content])
    members[chosen], changes = changed(members[chosen], rng)
    return zipped(members), [f"{chosen}: {change}" for change in changes]


def changed(content: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    changes: list[str] = []
    while not changes or rng.random() < ANOTHER:
        how = rng.choice(CHANGES)
        content = how(content, rng) or b"\n"
        changes.append(how.__name__)
    return content, changes


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def swap_characters(content: bytes, rng: random.Random) -> bytes:
    """Digits for digits and letters for letters, near each other: a text stays well-formed and means another thing."""
    changed = bytearray(content)
    start = rng.randrange(len(changed))
    for at in range(start, min(start + rng.randint(1, 60), len(changed))):
        for kind in (b"0123456789", b"abcdefgxyz", b"ENPQXYZ"):
            if changed[at] in kind and rng.random() < ANOTHER:
                changed[at] = rng.choice(kind)
    return bytes(changed)


def put_number(content: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    number = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    at = rng.randrange(len(content))
    return content[:at] + rng.choice((number, number[::-1])) + content[at + size :]


def put_token(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(TOKENS) + content[at + rng.choice((0, 0, 1, 4)) :]


def put_noise(content: bytes, rng: random.Random) -> bytes:
    at, noise = rng.randrange(len(content) + 1), rng.randbytes(rng.randint(1, 32))
    return content[:at] + noise + content[at + rng.choice((0, len(noise))) :]


def cut_end(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def drop_span(content: bytes, rng: random.Random) -> bytes:
    start, end = span(content, rng)
    return content[:start] + content[end:]


def repeat_span(content: bytes, rng: random.Random) -> bytes:
    start, end = span(content, rng)
    return content[:end] + content[start:end] * rng.randint(1, 5) + content[end:]


def move_span(content: bytes, rng: random.Random) -> bytes:
    start, end = span(content, rng)
    rest = content[:start] + content[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + content[start:end] + rest[at:]


def span(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Mostly a short one."""
    start = rng.randrange(len(content))
    return start, min(len(content), start + int(2 ** rng.uniform(0, 8)))


Change = Callable[[bytes, random.Random], bytes]
# A cut leaves little for the others, so it comes more seldom.
CHANGES: tuple[Change, ...] = (
    *(flip_bits, put_number, put_token, put_noise, drop_span, repeat_span, move_span) * 2,
    *(swap_characters,) * 5,
    cut_end,
)
