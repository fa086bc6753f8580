import json
import logging
import os
import sys
import time

import azure.functions as func

from .record import record

bp = func.Blueprint()
ANONYMOUS = func.AuthLevel.ANONYMOUS


def answer(body: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), mimetype="application/json")


@bp.route(route="livez", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def livez(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("alive")


@bp.route(route="guarded", methods=["GET"])
def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("come in")


@bp.route(route="items/{number:int}/{part?}", methods=["GET"], auth_level=ANONYMOUS)
def numbered_item(req: func.HttpRequest) -> func.HttpResponse:
    return answer({"function": "numbered_item", **req.route_params})


@bp.route(route="items/{name}", methods=["GET"], auth_level=ANONYMOUS)
def named_item(req: func.HttpRequest) -> func.HttpResponse:
    return answer({"function": "named_item", **req.route_params})


@bp.route(route="files/{*path}", auth_level=ANONYMOUS)
def files(req: func.HttpRequest) -> func.HttpResponse:
    return answer({"method": req.method, "url": req.url, "query": dict(req.params), **req.route_params})


@bp.route(route="echo", methods=["POST"], auth_level=ANONYMOUS)
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), mimetype="application/octet-stream")


@bp.route(route="cookies", auth_level=ANONYMOUS)
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("sweet", status_code=201)
    response.headers["X-Jar"] = "full"
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; Path=/")
    return response


@bp.route(route="boom", auth_level=ANONYMOUS)
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("the secret of the sample app")


@bp.route(route="chatter", auth_level=ANONYMOUS)
def chatter(req: func.HttpRequest) -> func.HttpResponse:
    sys.stdout.write("said on stdout\n")
    sys.stderr.write("said on stderr\n")
    logging.info("said to the log")
    return func.HttpResponse("enough")


@bp.route(route="setting/{name}", auth_level=ANONYMOUS)
def setting(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    name = req.route_params["name"]
    return answer({"value": os.environ.get(name), "function": context.function_name, "id": context.invocation_id})


@bp.route(route="sleep/{seconds}", auth_level=ANONYMOUS)
def sleep(req: func.HttpRequest) -> func.HttpResponse:
    record("sleeping")
    time.sleep(float(req.route_params["seconds"]))
    return answer({"pid": os.getpid()})


@bp.route(route="crash", auth_level=ANONYMOUS)
def crash(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(7)
