"""Prints the HTTP routes that the Function App registers, as JSON: [[method, route, anonymous], ...]."""

import json
import sys

import azure.functions as func

import function_app

TRIGGERS = [function.get_trigger() for function in function_app.app.get_functions()]
ROUTES = [
    [str(getattr(method, "value", method)), trigger.route, trigger.auth_level == func.AuthLevel.ANONYMOUS]
    for trigger in TRIGGERS
    if isinstance(trigger, func.decorators.http.HttpTrigger)
    for method in trigger.methods or ()
]
json.dump(ROUTES, sys.stdout)
