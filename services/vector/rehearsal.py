"""What GDAL and PROJ set up with the first file they see. Done once in the process that the readers are forked from, it
is done for all of them: 25 of the 60 ms that a small GeoPackage takes."""

import pyarrow as pa
import pyogrio
from pyproj import CRS

from services.vector.source import crs_text
from services.vector.wkb import points_to_wkb

_FILE = "/vsimem/rehearsal.gpkg"
_CRS = "EPSG:32633"


def rehearse() -> None:
    """Write and look into a GeoPackage in memory, and name the CRS of a file. Leaves nothing, and no thread."""
    crs_text(CRS.from_wkt(CRS.from_user_input(_CRS).to_wkt()).to_2d())
    here = pa.array([0.0]).to_numpy()
    row = pa.table({"geometry": points_to_wkb(here, here, here == 0), "name": ["a"]})
    pyogrio.write_arrow(row, _FILE, driver="GPKG", geometry_name="geometry", geometry_type="Point", crs=_CRS)
    pyogrio.list_layers(_FILE)
    pyogrio.read_info(_FILE)
    pyogrio.vsi_unlink(_FILE)
