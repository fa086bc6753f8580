"""What may work the next time is tried again, politely."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from vector_etl.transport import Transport

Answers = list[tuple[int, dict[str, str]]]


@contextmanager
def server(answers: Answers) -> Iterator[str]:
    """A server that gives these answers, one after the other."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answers.pop(0)
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def got(answers: Answers, attempts: int = 4) -> tuple[int, list[float]]:
    """The status of the last answer, and the pauses before it."""
    pauses: list[float] = []
    with server(answers) as url, httpx.Client(trust_env=False) as http:
        answer = Transport(http, attempts, pauses.append).send("GET", url)
    return answer.status_code, pauses


def test_a_transient_error_is_tried_again_after_growing_pauses() -> None:
    status, pauses = got([(503, {}), (502, {}), (429, {}), (200, {})])
    assert status == 200
    assert 0.3 < pauses[0] < pauses[1] < pauses[2] < 3


def test_the_server_says_how_long_to_wait_but_not_forever() -> None:
    assert got([(503, {"Retry-After": "10"}), (503, {"Retry-After": "86400"}), (200, {})]) == (200, [10.0, 60.0])
    _, [pause] = got([(503, {"Retry-After": "tomorrow"}), (200, {})])
    assert pause < 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_what_will_not_change_is_not_tried_again(status: int) -> None:
    assert got([(status, {}), (200, {})]) == (status, [])


def test_the_last_answer_counts() -> None:
    assert got([(503, {})] * 3, attempts=2)[0] == 503


@pytest.mark.parametrize("repeatable", [True, False])
def test_who_cannot_be_connected_to_is_tried_again(repeatable: bool) -> None:
    pauses: list[float] = []
    with httpx.Client(trust_env=False) as http, pytest.raises(httpx.ConnectError):
        Transport(http, 3, pauses.append).send("GET", "http://127.0.0.1:1/", repeatable=repeatable)
    assert len(pauses) == 2


def test_a_request_that_may_have_been_acted_on_is_not_repeated_unless_that_changes_nothing() -> None:
    for repeatable, tries in ((False, 1), (True, 3)):
        pauses: list[float] = []
        with (
            server([(200, {"Content-Length": "5"})] * 3) as url,
            httpx.Client(trust_env=False) as http,
            pytest.raises(httpx.TransportError),
        ):
            Transport(http, 3, pauses.append).send("GET", url, repeatable=repeatable)
        assert len(pauses) == tries - 1
