"""POST /api/uploads; and the way through the app: PUT blocks/{number}, POST finish below uploads/{upload_id}"""

from urllib.parse import quote

import azure.functions as func

from core.errors import InvalidInput
from core.models.upload import NewUpload, Target, Upload, UploadEnd, UploadPlace
from services.uploads import MOST_BODY, blob_name
from triggers.http import edge, json_object, json_response, parsed
from triggers.wiring import uploads

bp = func.Blueprint()
MOST_BLOCKS = 50_000


@bp.route(route="uploads", methods=["POST"])
@edge
def new_upload(req: func.HttpRequest) -> func.HttpResponse:
    """Where to put a file: {file_name, size}. With ?file_name= the body is the file itself, of up to 8 MB."""
    if "file_name" in req.params:
        new = parsed(NewUpload, {"file_name": req.params["file_name"]})
        stored = uploads().store(uploads().new_place(new.file_name), content_of(req))
        return json_response(stored.model_dump(mode="json"), 201)
    new = parsed(NewUpload, json_object(req))
    place = uploads().new_place(new.file_name, new.size)
    return json_response(described(req, place).model_dump(mode="json"), 201)


@bp.route(route="uploads/{upload_id}/blocks/{number}", methods=["PUT"])
@edge
def put_block(req: func.HttpRequest) -> func.HttpResponse:
    """The body is one block of the file, of up to 8 MB; blocks come in any order, and again if need be."""
    number = req.route_params["number"]
    if not (number.isascii() and number.isdecimal()) or int(number) >= MOST_BLOCKS:
        raise InvalidInput("invalid_parameter", f"a block's number is below {MOST_BLOCKS}.", parameter="number")
    content = content_of(req)
    uploads().store_block(place_of(req), int(number), content)
    return json_response({"number": int(number), "size": len(content)}, 201)


@bp.route(route="uploads/{upload_id}/finish", methods=["POST"])
@edge
def finish_upload(req: func.HttpRequest) -> func.HttpResponse:
    """Make one file of the blocks: {blocks, size}. Twice is the same; what is there is never overwritten."""
    stored = uploads().finish(place_of(req), parsed(UploadEnd, json_object(req)))
    return json_response(stored.model_dump(mode="json"), 201)


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
    ours = f"{req.url.split('?')[0]}/{place.upload_id}"
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
