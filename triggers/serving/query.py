"""What a served app is handed of a query string."""

import re
from urllib.parse import parse_qsl, urlencode

from core.errors import InvalidInput

FILTER = "filter"
KEY = "code"
# cql2 parses by recursion. Between 1,000 and 5,000 levels the stack overflows, which ends the process and all its work.
MOST_OPERATORS = 500
OPERATOR = re.compile(r"[(+*/^%-]|\bnot\b", re.IGNORECASE)


def handed_on(query: bytes, *, key_in_header: bool) -> bytes:
    """Without a function key: it is no filter for a column named `code`. Beside a key in the header, `code` is one.

    Raises InvalidInput for a NUL, for a filter that is nested too deeply to be parsed, and for the libraries' HTML
    pages, which would load from a CDN.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, value in pairs:
        if "\x00" in value:
            raise InvalidInput("invalid_text", "the text contains a NUL character.", parameter=name)
        if (name, value) == ("f", "html"):
            raise InvalidInput("invalid_parameter", "there are no pages here; /api/map shows a table.", parameter="f")
        if name == FILTER and len(OPERATOR.findall(value)) > MOST_OPERATORS:
            raise InvalidInput(
                "invalid_parameter", f"the filter has more than {MOST_OPERATORS} operators.", parameter=FILTER
            )
    if key_in_header or all(name != KEY for name, _ in pairs):
        return query
    return urlencode([(name, value) for name, value in pairs if name != KEY]).encode()
