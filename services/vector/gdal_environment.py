"""GDAL's settings for a process that opens files of strangers. Import this before anything that imports pyogrio.

The extension of a file decides which driver may read it, so every other driver is unloaded, GDAL loads no
plugins, and nothing is fetched from a network. GDAL knows only a deny-list (GDAL_SKIP, read once when the
drivers are registered); `assert_allowed_drivers` turns it into an allow-list by refusing whatever a newer GDAL adds.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

ALLOWED_DRIVERS = frozenset({"ESRI Shapefile", "GPKG", "FlatGeobuf", "OpenFileGDB", "GML"})

# Every other vector driver of the GDAL wheels that pyogrio ships. A name that this build lacks does no harm.
_SKIPPED_DRIVERS = (
    "MEM,PCIDSK,PDS4,VICAR,PDF,MBTiles,EEDA,OGCAPI,GDALG,LVBAG,S57,DGN,OGR_VRT,CSV,GPX,KML,LIBKML,"
    "GeoJSON,GeoJSONSeq,ESRIJSON,TopoJSON,OGR_GMT,SQLite,WAsP,DXF,GeoRSS,VFK,PGDUMP,OSM,GPSBabel,OGR_PDS,WFS,OAPIF,"
    "EDIGEO,Idrisi,ODS,XLSX,Elasticsearch,Carto,AmigoCloud,SXF,Selafin,JML,PLSCENES,CSW,VDV,MVT,NGW,MapML,GTFS,"
    "PMTiles,JSONFG,MiraMonVector,ADBC,AVCBin,AVCE00,AIVector,HTTP,MapInfo File"
)

SETTINGS = {
    "GDAL_SKIP": _SKIPPED_DRIVERS,
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "PROJ_NETWORK": "OFF",
    # /vsicurl/ believes that only files with these extensions exist, so it never asks a server.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing-is-fetched",
    "GDAL_HTTP_MAX_RETRY": "0",
    # The schema of a GML is what its features have: no file that it names is read, and none is asked for.
    "GML_DOWNLOAD_SCHEMA": "NO",
    "GML_SKIP_RESOLVE_ELEMS": "ALL",
    # Else the number 00123 of a GML loses its zeros.
    "GML_FIELDTYPES": "ALWAYS_STRING",
}

os.environ.update(SETTINGS)

import pyogrio  # noqa: E402  (GDAL reads GDAL_SKIP while pyogrio is imported)


@contextmanager
def restored_shx() -> Iterator[None]:
    """While open, GDAL writes the .shx of a shapefile anew. Not for one that has its own: that may know better."""
    pyogrio.set_gdal_config_options({"SHAPE_RESTORE_SHX": True})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"SHAPE_RESTORE_SHX": None})


def assert_allowed_drivers() -> None:
    """Stop when GDAL would open a format outside ALLOWED_DRIVERS.

    Raises RuntimeError when pyogrio was imported before this module, or when this GDAL has drivers unknown here.
    """
    unexpected = sorted(set(pyogrio.list_drivers()) - ALLOWED_DRIVERS)
    if unexpected:
        raise RuntimeError(f"GDAL has drivers outside the allow-list: {', '.join(unexpected)}")
