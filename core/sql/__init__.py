"""Named queries. A query starts with a line `-- its_name`; comment lines after it say what it is for."""

import re
from importlib.resources import files

NAME = re.compile(r"^-- ([a-z_]+)$", re.MULTILINE)


class Queries:
    """The queries of one `.sql` file as attributes: `Queries("tasks").claim_task`."""

    def __init__(self, name: str) -> None:
        self._name = name
        parts = NAME.split(files(__package__).joinpath(f"{name}.sql").read_text("utf-8"))
        self._queries = dict(zip(parts[1::2], parts[2::2], strict=True))

    def __getattr__(self, query: str) -> str:
        try:
            return self._queries[query]
        except KeyError:
            raise AttributeError(f"{self._name}.sql has no query {query!r}") from None


jobs = Queries("jobs")
tasks = Queries("tasks")
janitor = Queries("janitor")
publishing = Queries("publishing")
rejects = Queries("rejects")
tables = Queries("tables")
serving = Queries("serving")
notifications = Queries("notifications")
