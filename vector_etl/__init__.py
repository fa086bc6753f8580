"""A client of the vector ETL app.

    from vector_etl import Client

    with Client("https://NAME.azurewebsites.net", key) as client:
        job = client.load("parcels.gpkg", "parcels", title="Parcels 2026")
        print(job.receipt.rows)

docs/client.md tells more.
"""

from vector_etl.client import Client
from vector_etl.errors import (
    ApiError,
    BadRequest,
    ClientError,
    Conflict,
    JobCancelled,
    JobEnded,
    JobFailed,
    NotConnected,
    NotFound,
    ServerError,
    Unauthorized,
    Unavailable,
    UnknownAnswer,
    Unusable,
)
from vector_etl.models import Inspection, Job, ProcessVector, Receipt, Reject, Submitted, Uploaded

__all__ = [
    "ApiError",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "Inspection",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "NotConnected",
    "NotFound",
    "ProcessVector",
    "Receipt",
    "Reject",
    "ServerError",
    "Submitted",
    "Unauthorized",
    "Unavailable",
    "UnknownAnswer",
    "Unusable",
    "Uploaded",
]
