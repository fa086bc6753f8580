"""The `context` argument of a function."""

from __future__ import annotations

import secrets
import threading
from typing import cast

import azure.functions as func
from azure.functions._abc import RetryContext, RpcException, TraceContext


class LocalTraceContext(TraceContext):
    """A fresh W3C trace for each invocation."""

    def __init__(self) -> None:
        self._parent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"

    @property
    def trace_parent(self) -> str:
        return self._parent

    @property
    def trace_state(self) -> str:
        return ""

    @property
    def attributes(self) -> dict[str, str]:
        return {}


class FirstTry(RetryContext):
    """Retry policies of the host are not kept here: each invocation is the first."""

    @property
    def retry_count(self) -> int:
        return 0

    @property
    def max_retry_count(self) -> int:
        return 0

    @property
    def exception(self) -> RpcException:
        return cast(RpcException, None)


class InvocationContext(func.Context):
    def __init__(self, invocation_id: str, function: str, folder: str, storage: threading.local) -> None:
        self._invocation_id = invocation_id
        self._function = function
        self._folder = folder
        self._storage = storage
        self._trace = LocalTraceContext()

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def function_name(self) -> str:
        return self._function

    @property
    def function_directory(self) -> str:
        return self._folder

    @property
    def thread_local_storage(self) -> threading.local:  # type: ignore[override]  # declared as the class
        return self._storage

    @property
    def trace_context(self) -> TraceContext:
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        return FirstTry()
