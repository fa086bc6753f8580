"""POST /api/uploads; and the way through the app: PUT blocks/{number}, POST finish below uploads/{upload_id}"""

from typing import Annotated
from urllib.parse import quote

import azure.functions as func
from pydantic import Field

from core.errors import InvalidInput
from core.models.upload import FileName, NewUpload, Target, Upload, Uploaded, UploadEnd, UploadId, UploadPlace
from services.uploads import MOST_BODY, blob_name
from triggers.addresses import base_of
from triggers.endpoint import JSON, Answer, Query, Tag, Told, endpoint
from triggers.http import json_object, json_response, parsed
from triggers.wiring import uploads

bp = func.Blueprint()
MOST_BLOCKS = 50_000
BYTES = "application/octet-stream"
PLACE = {"upload_id": UploadId}
NOT_JSON = ("malformed_json", "invalid_text")
NOT_A_BODY = ("blob_empty", "upload_too_large")


class NewQuery(Query):
    file_name: FileName | None = Field(default=None, description="The body is the file itself, of up to 8 MB.")


class PlaceQuery(Query):
    file_name: FileName = Field(description="As at the start of the upload.")


class StoredBlock(Answer):
    """size: in bytes."""

    number: int
    size: int


@endpoint(
    bp,
    "POST",
    "uploads",
    tag=Tag.UPLOADS,
    query=NewQuery,
    body={JSON: NewUpload, BYTES: bytes},
    answers={201: Told(Upload | Uploaded, says="Where to put the file; or, with `file_name`, where it is.")},
    problems={400: ["invalid_parameters", "source_too_large", *NOT_JSON, *NOT_A_BODY]},
)
def new_upload(req: func.HttpRequest) -> func.HttpResponse:
    """Ask where to put a file, or put a small one.

    The body tells of the file. With `file_name` in the query it is the file itself, whatever its media type.
    """
    if "file_name" in req.params:
        new = parsed(NewUpload, {"file_name": req.params["file_name"]})
        stored = uploads().store(uploads().new_place(new.file_name), content_of(req))
        return json_response(stored, 201)
    new = parsed(NewUpload, json_object(req))
    place = uploads().new_place(new.file_name, new.size)
    return json_response(described(req, place), 201)


@endpoint(
    bp,
    "PUT",
    "uploads/{upload_id}/blocks/{number}",
    tag=Tag.UPLOADS,
    path=PLACE | {"number": Annotated[int, Field(ge=0, lt=MOST_BLOCKS)]},
    query=PlaceQuery,
    body={BYTES: bytes},
    answers={201: StoredBlock},
    problems={400: ["invalid_parameter", "invalid_parameters", *NOT_A_BODY]},
)
def put_block(req: func.HttpRequest) -> func.HttpResponse:
    """Put one block of the file, of up to 8 MB.

    Blocks come in any order, and again if need be.
    """
    number = req.route_params["number"]
    if not (number.isascii() and number.isdecimal()) or int(number) >= MOST_BLOCKS:
        raise InvalidInput("invalid_parameter", f"a block's number is below {MOST_BLOCKS}.", parameter="number")
    content = content_of(req)
    uploads().store_block(place_of(req), int(number), content)
    return json_response(StoredBlock(number=int(number), size=len(content)), 201)


@endpoint(
    bp,
    "POST",
    "uploads/{upload_id}/finish",
    tag=Tag.UPLOADS,
    path=PLACE,
    query=PlaceQuery,
    body=UploadEnd,
    answers={201: Uploaded},
    problems={
        400: ["invalid_parameters", "source_too_large", "upload_incomplete", *NOT_JSON],
        409: ["upload_exists"],
    },
)
def finish_upload(req: func.HttpRequest) -> func.HttpResponse:
    """Make one file of the blocks.

    Twice is the same; what is there is never overwritten.
    """
    stored = uploads().finish(place_of(req), parsed(UploadEnd, json_object(req)))
    return json_response(stored, 201)


def place_of(req: func.HttpRequest) -> UploadPlace:
    given = {"upload_id": req.route_params["upload_id"]}
    return parsed(UploadPlace, given | {name: req.params[name] for name in ("file_name",) if name in req.params})


def content_of(req: func.HttpRequest) -> bytes:
    content = req.get_body()
    if not content:
        raise InvalidInput("blob_empty", "the body is empty (0 bytes).", parameter="body")
    if len(content) > MOST_BODY:
        raise InvalidInput(
            "upload_too_large",
            f"the body has {len(content)} bytes, more than {MOST_BODY}.",
            parameter="body",
            remedy="POST {file_name, size} to /api/uploads to learn where to put a larger file.",
        )
    return content


def described(req: func.HttpRequest, place: UploadPlace) -> Upload:
    url, until = uploads().signed_url(place)
    ours = f"{base_of(req)}/uploads/{place.upload_id}"
    named = f"?file_name={quote(place.file_name, safe='')}"
    return Upload(
        upload_id=place.upload_id,
        container_name=uploads().settings.bronze_container,
        blob_name=blob_name(place),
        expires_at=until,
        put=Target(method="PUT", url=url, headers={"x-ms-blob-type": "BlockBlob"}) if url else None,
        blocks=Target(method="PUT", url=f"{ours}/blocks/{{number}}{named}", max_bytes=MOST_BODY),
        finish=Target(method="POST", url=f"{ours}/finish{named}"),
    )
