"""Has Microsoft's own worker library index a function app and run functions of it, in this process.

    python ms_worker.py APP [--call JSON ...] --report FILE

A call names a function, and what its trigger brings:
    {"function": "echo", "method": "POST", "path": "/api/echo", "route": {}, "query": {}, "headers": {}, "body": "hi"}
    {"function": "orders", "body": "{}", "metadata": {"DeliveryCount": 2}}
    {"function": "tick", "past_due": true}

The report is JSON: {"functions": {name: trigger binding}, "calls": [{"ok", "status", "headers", "body", "error"}]}.
An app that does not index, or a function that does not load, ends with a traceback and exit code 1.

Runs on Python 3.13 with azure-functions-runtime, which leaves the gRPC around it to Microsoft's launcher: the classes
below stand in for its protobuf messages.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as worker  # type: ignore[import-not-found]  # installed beside Python 3.13 only

MESSAGES = (
    "FunctionEnvironmentReloadResponse FunctionLoadResponse FunctionMetadataResponse InvocationResponse NullableBool "
    "NullableDouble NullableString NullableTimestamp RpcException RpcFunctionMetadata RpcHttp RpcRetryOptions "
    "WorkerInitResponse WorkerMetadata"
)


class Message:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class TypedData(Message):
    """A protobuf `oneof`: at most one field is set."""

    def WhichOneof(self, _: str) -> str | None:
        return next(iter(self.__dict__), None)


class ParameterBinding(Message):
    def WhichOneof(self, _: str) -> str:
        return "data"


class StatusResult(Message):
    Failure = 0
    Success = 1


# Made by type(): the protocol calls direction 0 `in`, which Python's syntax does not allow as a name.
BindingInfo = type("BindingInfo", (Message,), {"in": 0, "out": 1, "inout": 2, "undefined": 0})
SameSite = type("SameSite", (), {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})
RpcHttpCookie = type("RpcHttpCookie", (Message,), {"SameSite": SameSite})


def protocol() -> SimpleNamespace:
    plain = {name: type(name, (Message,), {}) for name in MESSAGES.split()}
    special = (TypedData, ParameterBinding, StatusResult, BindingInfo, RpcHttpCookie)
    return SimpleNamespace(**plain, **{kind.__name__: kind for kind in special})


def request(kind: str, properties: dict[str, Any] | None = None, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(**{kind: SimpleNamespace(**fields)}), properties=properties or {})


def check(response: Any) -> Any:
    """The response of a request that must succeed."""
    result = getattr(response, "result", None)
    if result is None or result.status != StatusResult.Success:
        raise RuntimeError(getattr(getattr(result, "exception", None), "message", response))
    return response


class App:
    """An app in Microsoft's worker: indexed, each function loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.ids: dict[str, str] = {}
        self.triggers: dict[str, dict[str, Any]] = {}

    async def load(self) -> None:
        worker.start_threadpool_executor()
        properties = {"host": "127.0.0.1", "protos": protocol()}
        start = request("worker_init_request", properties, capabilities={}, function_app_directory=self.folder)
        check(await worker.worker_init_request(start))
        index = request("functions_metadata_request", function_app_directory=self.folder)
        for function in check(await worker.functions_metadata_request(index)).function_metadata_results:
            self.ids[function.name] = function.function_id
            bindings = map(json.loads, function.raw_bindings)
            self.triggers[function.name] = next(each for each in bindings if each["type"].endswith("Trigger"))
        for name, function_id in self.ids.items():
            metadata = SimpleNamespace(name=name)
            load = request("function_load_request", function_id=function_id, metadata=metadata)
            check(await worker.function_load_request(load))

    async def call(self, call: dict[str, Any]) -> dict[str, Any]:
        trigger = self.triggers[call["function"]]
        data, metadata = PAYLOADS[trigger["type"]](call)
        invocation = request(
            "invocation_request",
            invocation_id=f"call-of-{call['function']}",
            function_id=self.ids[call["function"]],
            input_data=[ParameterBinding(name=trigger["name"], data=data)],
            trigger_metadata=metadata,
            trace_context=SimpleNamespace(trace_parent="00-0-0-00", trace_state="", attributes={}),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        )
        return outcome(await worker.invocation_request(invocation))


Payload = tuple[TypedData, dict[str, TypedData]]


def http(call: dict[str, Any]) -> Payload:
    body = TypedData(bytes=call.get("body", "").encode())
    fields = {
        "method": call.get("method", "GET"),
        "url": f"http://localhost{call.get('path', '/')}",
        "headers": call.get("headers", {}),
        "query": call.get("query", {}),
        "params": call.get("route", {}),
    }
    unused: dict[str, dict[str, str]] = {"nullable_headers": {}, "nullable_query": {}, "nullable_params": {}}
    return TypedData(http=SimpleNamespace(**fields, **unused, body=body, rawBody=body)), {}


def bus_message(call: dict[str, Any]) -> Payload:
    metadata = {"MessageId": "1", "DeliveryCount": 1, "ApplicationProperties": {}, "UserProperties": {}}
    metadata |= call.get("metadata", {})
    return TypedData(string=call["body"]), {name: TypedData(json=json.dumps(value)) for name, value in metadata.items()}


def timer(call: dict[str, Any]) -> Payload:
    state = {"IsPastDue": call.get("past_due", False), "ScheduleStatus": {}, "Schedule": {"AdjustForDST": True}}
    return TypedData(json=json.dumps(state)), {}


PAYLOADS = {"httpTrigger": http, "serviceBusTrigger": bus_message, "timerTrigger": timer}


def outcome(response: Any) -> dict[str, Any]:
    if response.result.status != StatusResult.Success:
        return {"ok": False, "error": response.result.exception.message}
    value = getattr(response, "return_value", None)
    if value is None or value.WhichOneof("data") != "http":
        return {"ok": True}
    body = bytes(value.http.body.bytes).decode()
    return {"ok": True, "status": int(value.http.status_code), "headers": dict(value.http.headers), "body": body}


async def main(arguments: argparse.Namespace) -> None:
    app = App(arguments.app)
    await app.load()
    calls = [await app.call(call) for call in arguments.call]
    arguments.report.write_text(json.dumps({"functions": app.triggers, "calls": calls}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("app", type=lambda text: Path(text).resolve())
    parser.add_argument("--call", type=json.loads, action="append", default=[])
    parser.add_argument("--report", type=lambda text: Path(text).resolve(), required=True)
    given = parser.parse_args()
    sys.path[0] = str(given.app)
    os.chdir(given.app)
    asyncio.run(main(given))
