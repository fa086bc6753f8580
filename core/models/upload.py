"""Uploads: what a client sends, and what it is told."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from core.models.vector import BlobName, Strict


def one_part(value: str) -> str:
    if "/" in value:
        raise ValueError("give the file's name alone, without folders")
    return value


FileName = Annotated[BlobName, StringConstraints(max_length=255), AfterValidator(one_part)]
UploadId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class NewUpload(Strict):
    """size: in bytes, where it is known; one that is too large is refused at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file_name": "parcels.gpkg", "size": 12_000_000}]})

    file_name: FileName
    size: int | None = Field(default=None, ge=1)


class UploadPlace(Strict):
    """A place that `NewUpload` was given."""

    upload_id: UploadId
    file_name: FileName


class UploadEnd(Strict):
    """blocks: how many there are, numbered from 0. size: the bytes of them all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"blocks": 2, "size": 12_000_000}]})

    blocks: int = Field(ge=1, le=50_000)
    size: int = Field(ge=1)


class Target(BaseModel):
    """A request that the client may make; `{number}` in the URL of a block is its number, from 0."""

    method: Literal["PUT", "POST"]
    url: str
    headers: dict[str, str] = {}
    max_bytes: int | None = None


class Upload(BaseModel):
    """Where to put a file. put: straight into the storage account, in one request or by the storage's own blocks, until
    `expires_at`; null where the app cannot sign one. blocks, finish: through the app."""

    upload_id: str
    container_name: str
    blob_name: str
    expires_at: datetime
    put: Target | None
    blocks: Target
    finish: Target


class Uploaded(BaseModel):
    """A file that is there, to be named in a submission."""

    container_name: str
    blob_name: str
    size: int
