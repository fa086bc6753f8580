"""Parameters of process_vector, as a client sends them."""

import codecs
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

Extension = Literal[
    "csv",
    "tsv",
    "xlsx",
    "geojson",
    "json",
    "geojsonl",
    "ndjson",
    "geojsons",
    "gpkg",
    "fgb",
    "parquet",
    "geoparquet",
    "gml",
    "gpx",
    "kml",
    "kmz",
    "shp",
    "zip",
]
EXTENSIONS: tuple[Extension, ...] = get_args(Extension)
# A collection of features, or one of them a line.
GEOJSON: tuple[Extension, ...] = ("geojson", "json", "geojsonl", "ndjson", "geojsons")
NOT_FOR_FILES = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})


def known_encoding(value: str) -> str:
    """Python knows codecs that are no encodings of text, and some for host names and source code."""
    try:
        "a".encode(value)
    except (LookupError, UnicodeError):
        raise ValueError(f"{value!r} is not a text encoding; examples: utf-8, cp1252, utf-16") from None
    if codecs.lookup(value).name in NOT_FOR_FILES:
        raise ValueError(f"{value!r} is not an encoding of files; examples: utf-8, cp1252, utf-16")
    return value


def plain_path(value: str) -> str:
    parts = value.split("/")
    if value.startswith("/") or "\\" in value or any(part in ("", ".", "..") for part in parts):
        raise ValueError("give the blob's name inside its container, without a leading '/', '..' or empty parts")
    if any(ord(character) < 32 for character in value):
        raise ValueError("control characters are not allowed")
    return value


BlobName = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(plain_path)]


def from_list(value: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value


# Postgres cuts identifiers at 63 bytes; the longest index name made from the table's needs 6 of them.
TableName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,56}$")]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ColumnNames = Annotated[tuple[ColumnName, ...], BeforeValidator(from_list)]
Encoding = Annotated[str, StringConstraints(min_length=1, max_length=40), AfterValidator(known_encoding)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]


class Strict(BaseModel):
    """Unknown parameters are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, use_attribute_docstrings=True)


class Simplify(Strict):
    """Douglas-Peucker. tolerance: degrees, after reprojection to EPSG:4326."""

    tolerance: float = Field(gt=0, allow_inf_nan=False)
    preserve_topology: bool = True
    """Keep polygons valid: slower, and slivers stay."""


class Quantize(Strict):
    """snap_to_grid: the grid's cell size in degrees, after reprojection to EPSG:4326."""

    snap_to_grid: float = Field(gt=0, le=90, allow_inf_nan=False)


class GeometryParams(Strict):
    simplify: Simplify | None = None
    quantize: Quantize | None = None


class Indexes(Strict):
    """Columns are named as in the published table."""

    spatial: bool = True
    attributes: ColumnNames = ()
    temporal: ColumnNames = ()


class ConverterParams(Strict):
    """How to read a text file; what is left out is detected."""

    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    quote: Literal['"', "'"] | None = None
    encoding: Encoding | None = None
    decimal: Literal[".", ","] | None = None
    """Of the coordinates in a CSV."""


def as_a_client_sends_it(schema: dict[str, Any]) -> None:
    """The extension is taken from the blob's name when it is left out."""
    schema["required"].remove("file_extension")
    schema["examples"] = [
        {"blob_name": "parcels/2024.gpkg", "table_name": "parcels", "layer_name": "parcels", "overwrite": True},
        {"blob_name": "stations.csv", "table_name": "stations", "lat_name": "lat", "lon_name": "lon"},
    ]


class ProcessVectorParams(Strict):
    model_config = ConfigDict(json_schema_extra=as_a_client_sends_it)

    blob_name: BlobName
    """The source, inside its container."""
    table_name: TableName
    """The table to be made, in PostGIS."""
    file_extension: Extension = Field(validate_default=True)
    """Decides how the file is read; that of the blob's name when left out."""
    container_name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")] | None = None
    """The bronze container when left out; others as the app allows."""
    schema_name: TableName = Field(default="geo", alias="schema")
    """The schema of the table; others as the app allows."""
    layer_name: Text | None = None
    """Which layer, or which file of a zip, when there are several."""
    chunk_size: int | None = Field(default=None, ge=100, le=500_000)
    """Rows of a chunk at most; by the rows' size when left out."""
    lat_name: ColumnName | None = None
    """The column of latitudes, or of y in source_crs."""
    lon_name: ColumnName | None = None
    """The column of longitudes, or of x in source_crs."""
    wkt_column: ColumnName | None = None
    """The column with the geometry as WKT."""
    wkb_column: ColumnName | None = None
    """The column with the geometry as WKB in hexadecimal."""
    source_crs: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """For a file that does not say its CRS: EPSG:25832, for example."""
    encoding: Encoding | None = None
    """Of the file's text; detected when left out."""
    geometry_type: Literal["auto", "any"] = "auto"
    """any: one table for points, lines and polygons together."""
    max_reject_percent: float = Field(default=5.0, ge=0, le=100, allow_inf_nan=False)
    """More rejected rows than these fail the job."""
    converter_params: ConverterParams = ConverterParams()
    geometry_params: GeometryParams = GeometryParams()
    indexes: Indexes = Indexes()
    cluster: bool = False
    """The rows stand along a Hilbert curve, so that a query for a box reads few pages."""
    overwrite: bool = False
    """Replace the table, at the moment when the new one is complete."""
    title: Text | None = None
    description: Text | None = None
    attribution: Text | None = None
    license: Text | None = None
    keywords: Annotated[tuple[Text, ...], BeforeValidator(from_list)] = ()
    temporal_property: ColumnName | None = None
    """The column of which the STAC item tells the first and last moment."""

    @model_validator(mode="before")
    @classmethod
    def extension_from_name(cls, given: Any) -> Any:
        """Taken from the blob's name when left out."""
        if isinstance(given, dict) and given.get("file_extension") is None and isinstance(given.get("blob_name"), str):
            suffix = PurePosixPath(given["blob_name"]).suffix
            return given | {"file_extension": suffix}
        return given

    @field_validator("file_extension", mode="before")
    @classmethod
    def plain_extension(cls, value: Any) -> Any:
        return value.lower().removeprefix(".") if isinstance(value, str) else value

    @model_validator(mode="after")
    def one_way_to_the_geometry(self) -> Self:
        points = bool(self.lat_name or self.lon_name)
        if points + bool(self.wkt_column) + bool(self.wkb_column) > 1:
            raise ValueError("give either lat_name and lon_name, or wkt_column, or wkb_column, not several of them")
        if (self.lat_name is None) != (self.lon_name is None):
            raise ValueError("lat_name and lon_name go together; one of them is missing")
        return self

    @model_validator(mode="after")
    def one_encoding(self) -> Self:
        theirs = self.converter_params.encoding
        if self.encoding and theirs and codecs.lookup(self.encoding).name != codecs.lookup(theirs).name:
            raise ValueError("encoding and converter_params.encoding differ; give one of them")
        return self

    @property
    def text_params(self) -> dict[str, str]:
        """How the file's text is written, as far as the request says."""
        given: dict[str, str] = self.converter_params.model_dump(exclude_none=True)
        return given | ({"encoding": self.encoding} if self.encoding else {})
