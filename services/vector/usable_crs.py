"""Whether coordinates in a CRS can become longitudes and latitudes."""

from pyproj import CRS
from pyproj.exceptions import ProjError

from core.errors import InvalidInput
from services.vector.geometry import projection
from services.vector.source import VectorSource


def refuse_unusable_crs(source: VectorSource) -> None:
    """Raises InvalidInput("invalid_crs") for heights, for distances from the centre of the earth, for other planets."""
    crs = source.crs
    # One of heights may come with one of places.
    usable = crs.is_geographic or crs.is_projected or not (crs.is_vertical or crs.is_geocentric)
    try:
        projection(source.crs_text)
    except ProjError:
        usable = False
    if not usable:
        raise InvalidInput(
            "invalid_crs",
            f"coordinates in the reference system {named(source.crs)} cannot be turned into longitudes and latitudes.",
            parameter="source_crs",
            remedy="Give the right one as source_crs, for example EPSG:25832.",
        )


def named(crs: CRS) -> str:
    authority = crs.to_authority()
    return f"'{crs.name}' ({':'.join(authority)})" if authority else f"'{crs.name}'"
