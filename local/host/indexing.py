"""Find the app's functions, as Microsoft's Python worker does."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from .wire import FunctionInfo

SUPPORTED_TRIGGERS = {"httpTrigger", "serviceBusTrigger", "timerTrigger"}


class IndexingError(Exception):
    """The app cannot be loaded as written."""


@dataclass(frozen=True)
class IndexedFunction:
    """A user's function with what is needed to call it."""

    info: FunctionInfo
    call: Callable[..., Any]
    wants_context: bool
    is_async: bool
    returns_http: bool


def index_app(app: Path) -> dict[str, IndexedFunction]:
    """Import the app's module and describe each of its functions. Raises IndexingError, or what the import raises."""
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py").removesuffix(".py")
    if not (app / f"{script}.py").exists():
        raise IndexingError(f"there is no {script}.py in {app}")
    functions = [index_function(each) for each in function_app_of(importlib.import_module(script)).get_functions()]
    if not functions:
        raise IndexingError(f"{script}.py registers no function")
    return {function.info.name: function for function in functions}


def function_app_of(module: Any) -> func.FunctionRegister:
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise IndexingError(f"{module.__name__} must hold exactly one FunctionApp, it has {len(apps)}")
    return apps[0]


def index_function(function: Any) -> IndexedFunction:
    name = function.get_function_name()
    call = function.get_user_function()
    bindings = [json.loads(binding) for binding in function.get_raw_bindings()]
    trigger = trigger_of(name, bindings)
    parameters = set(inspect.signature(call).parameters)
    if parameters - {"context"} != {trigger["name"]}:
        raise IndexingError(f"{name}: parameters {sorted(parameters)} do not match the binding {trigger['name']!r}")
    check_annotation(name, call, trigger)
    return IndexedFunction(
        info=FunctionInfo(name, trigger),
        call=call,
        wants_context="context" in parameters,
        is_async=inspect.iscoroutinefunction(call),
        returns_http=trigger["type"] == "httpTrigger",
    )


def trigger_of(name: str, bindings: list[dict[str, Any]]) -> dict[str, Any]:
    """The trigger's binding. Anything the host could not serve faithfully is refused here, not at run time."""
    triggers = [binding for binding in bindings if binding["type"] in SUPPORTED_TRIGGERS]
    others = [binding for binding in bindings if binding["type"] not in (*SUPPORTED_TRIGGERS, "http")]
    if len(triggers) != 1 or others:
        types = [binding["type"] for binding in bindings]
        raise IndexingError(f"{name}: this host serves HTTP, Service Bus queue and timer triggers only, not {types}")
    trigger = triggers[0]
    if trigger["type"] == "serviceBusTrigger":
        refuse_unsupported_bus_options(name, trigger)
    return trigger


def refuse_unsupported_bus_options(name: str, trigger: dict[str, Any]) -> None:
    if "queueName" not in trigger or trigger.get("isSessionsEnabled") or trigger.get("cardinality") == "MANY":
        raise IndexingError(f"{name}: this host serves Service Bus queues without sessions, one message at a time")


def check_annotation(name: str, call: Callable[..., Any], trigger: dict[str, Any]) -> None:
    """A parameter annotated with another trigger's type is a mistake the real worker refuses too."""
    hint = typing.get_type_hints(call).get(trigger["name"])
    if not isinstance(hint, type) or hint in (str, bytes):
        return
    if not converter_for(trigger["type"]).check_input_type_annotation(hint):
        raise IndexingError(f"{name}: {trigger['name']}: {hint.__name__} does not fit a {trigger['type']}")


def converter_for(binding_type: str) -> Any:
    """azure-functions' own converter for a binding type."""
    registry: Any = func.get_binding_registry()
    return registry.get(binding_type)
