"""A function app that shows the tests what happened to it, in lines of JSON in the file RECORDS names."""

import azure.functions as func
from functions import messages, timers, web  # type: ignore[import-not-found]  # found in the app's folder

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (web, messages, timers):
    app.register_functions(module.bp)
