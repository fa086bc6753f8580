"""The whole system on one machine, as real processes: PostgreSQL, Azurite, a Service Bus and the Function App.

    with Stack(root, "faults") as stack:              # ends with the block, or with this process, whatever kills it
        stack.start()                                 # all parts; stack.start("postgres", "azurite") for some
        httpx.get(stack.base_url + "/api/readyz")
        psycopg.connect(stack.database_url)
        BlobServiceClient.from_connection_string(stack.env["BLOB_CONNECTION_STRING"])
        stack["postgres"].kill()                      # as a crash would: no goodbye
        stack["postgres"].start()                     # the same port again, the same data
        stack["app"].stop()                           # in order; stop() and kill() of a part that is down do nothing

Parts are named `postgres`, `azurite`, `servicebus` and `app`. Each keeps its data, its logs and the record of its
process below `.local/INSTANCE/`. `fast=True` trades durability for speed (no fsync): for tests only.
`python -m local up` uses the instance `dev`; the tests use `test`, or `test-2` when another run holds that.
"""

from local.stack.errors import StackError
from local.stack.stack import PARTS, Stack

__all__ = ["PARTS", "Stack", "StackError"]
