"""HTTP with patience: what may work the next time is tried again."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

TRANSIENT = frozenset({408, 429, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


class Transport:
    """Tries again with growing pauses, or the server's Retry-After, `attempts` times in all."""

    def __init__(self, http: httpx.Client, attempts: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self.http = http
        self.attempts = attempts
        self.sleep = sleep

    def send(
        self, method: str, url: str, *, repeatable: bool = True, content: bytes | None = None, **options: Any
    ) -> httpx.Response:
        """The last answer, whatever it is. `repeatable`: sending it twice is the same as once; else only what surely
        was not acted on is sent again. Raises httpx.TransportError."""
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            try:
                answer = self.http.request(method, url, content=content, **options)
            except httpx.TransportError as error:
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise
                self.sleep(pause(attempt, {}))
                continue
            if last or answer.status_code not in TRANSIENT:
                return answer
            self.sleep(pause(attempt, answer.headers))
        raise AssertionError("attempts is at least 1")


def pause(attempt: int, headers: Mapping[str, str]) -> float:
    """Seconds: those that the server asks for, else twice as long each time, with jitter."""
    return retry_after(headers) or FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date is not understood."""
    value = headers.get("Retry-After", "")
    return min(float(value), LONGEST_PAUSE) if value.isascii() and value.isdecimal() else None
