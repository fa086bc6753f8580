"""One POST, against servers that are as servers may be."""

import base64
import secrets
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from core.receivers import Receivers
from infrastructure.webhook import Answer, Webhook, signature_headers
from tests.receiver import Receiver, always, receiving

LOCAL = Receivers.parse(["http://127.0.0.1:*", "http://localhost:*"])
BODY = '{"größe": 1}'.encode()


def a_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def post(receiver: Receiver, seconds: float = 5.0) -> Answer:
    return Webhook(LOCAL, seconds=seconds).post(receiver.url, {"content-type": "text/plain"}, BODY)


def test_what_is_answered_with_2xx_is_taken() -> None:
    with receiving() as receiver:
        assert post(receiver) == Answer(204, None)
    [told] = receiver.told
    assert (told.path, told.body, told.headers["content-type"]) == ("/hook", BODY, "text/plain")
    assert told.headers["host"] == receiver.url.split("/")[2]


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_any_other_answer_is_not(status: int) -> None:
    with receiving(always(status)) as receiver:
        answer = post(receiver)
    assert (answer.status, answer.problem, answer.gone) == (status, f"answered {status}", status == 410)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as elsewhere:

        def redirect(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("location", elsewhere.url)
            handler.end_headers()

        with receiving(lambda _n: redirect) as receiver:
            assert post(receiver).problem == f"answered {status}, a redirect"
        assert elsewhere.told == []


def test_a_receiver_that_hangs_is_left_in_time() -> None:
    with receiving() as receiver:
        receiver.behaviour = lambda _n: receiver.hang
        assert_left_in_time(receiver)


def test_a_receiver_that_drips_is_left_in_time() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        with pytest.raises(OSError):  # noqa: PT012  until the other side has gone
            for _ in range(100):
                handler.wfile.write(b"H")
                time.sleep(0.1)

    with receiving(lambda _n: drip) as receiver:
        assert_left_in_time(receiver)


def assert_left_in_time(receiver: Receiver) -> None:
    started = time.monotonic()
    assert post(receiver, seconds=0.5).problem == "no answer within 0.5 s"
    assert 0.4 < time.monotonic() - started < 2


def test_a_body_without_end_is_not_read() -> None:
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with pytest.raises(OSError):  # noqa: PT012
            while True:
                handler.wfile.write(b"x" * 65536)

    with receiving(lambda _n: pour) as receiver:
        assert post(receiver) == Answer(200, None)


@pytest.mark.parametrize(
    "junk", [b"", b"HTTP/1.1 two hundred\r\n\r\n", b"\x00\xff" * 100, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500]
)
def test_what_is_no_http_is_a_problem_and_no_error(junk: bytes) -> None:
    with receiving(lambda _n: lambda handler: handler.wfile.write(junk)) as receiver:
        assert post(receiver).problem


def test_nobody_there_is_a_problem() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = Webhook(LOCAL).post(f"http://127.0.0.1:{free.getsockname()[1]}/", {}, b"")
    assert (answer.status, answer.problem) == (None, "ConnectionRefusedError: [Errno 111] Connection refused")


def test_all_addresses_of_a_name_are_tried() -> None:
    """localhost is ::1 too on many machines, where nobody listens."""
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        assert Webhook(LOCAL).post(url, {}, b"").problem is None


def test_a_host_that_is_not_listed_any_more_is_not_called() -> None:
    with receiving() as receiver:
        answer = Webhook(Receivers.parse(["hooks.example.com"])).post(receiver.url, {}, b"")
    assert "not on the list" in (answer.problem or "")
    assert receiver.told == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
def test_a_listed_name_that_leads_inside_is_not_called(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Whoever holds the name decides where it leads."""
    opened: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(0, 0, 0, "", (address, 443))])
    monkeypatch.setattr(socket, "create_connection", lambda *a, **_k: opened.append(a))
    answer = Webhook(Receivers.parse(["hooks.example.com"])).post("https://hooks.example.com/x", {}, b"")
    assert (
        answer.problem == f"PermissionError: hooks.example.com leads to {address}, which is not public and not listed"
    )
    assert opened == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For localhost, with its key in the same file."""
    assert shutil.which("openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    return both


@pytest.mark.parametrize(("host", "taken"), [("localhost", True), ("127.0.0.1", False)])
def test_a_certificate_must_be_that_of_the_host(certificate: Path, host: str, taken: bool) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    server.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_once, args=(listening, server))
        thread.start()
        port = listening.getsockname()[1]
        receivers = Receivers.parse([f"https://{host}:{port}", "127.0.0.0/8", "::1"])
        answer = Webhook(receivers, context=client).post(f"https://{host}:{port}/x", {}, BODY)
        thread.join(5)
    assert (answer.problem is None) == taken
    if not taken:
        assert "certificate verify failed" in (answer.problem or "")


def answer_once(listening: socket.socket, context: ssl.SSLContext) -> None:
    raw, _ = listening.accept()
    try:
        with context.wrap_socket(raw, server_side=True) as connection:
            while BODY not in connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    except OSError:
        return


def test_a_hanging_handshake_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        receivers = Receivers.parse([f"https://127.0.0.1:{port}", "127.0.0.1"])
        started = time.monotonic()
        answer = Webhook(receivers, seconds=0.5).post(f"https://127.0.0.1:{port}/", {}, b"")
    assert answer.problem == "no answer within 0.5 s"
    assert time.monotonic() - started < 2


def test_the_signature_is_what_others_verify_by_each_of_the_secrets() -> None:
    old, new, foreign = a_secret(), a_secret(), a_secret()
    with receiving() as receiver:
        body = b'{"a":1}'
        Webhook(LOCAL).post(receiver.url, signature_headers([new, old], "an-id", int(time.time()), body), body)
    [told] = receiver.told
    assert told.verified(new) == told.verified(old) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        told.verified(foreign)
    told.body = b'{"a":2}'
    with pytest.raises(WebhookVerificationError):
        told.verified(new)


def test_an_old_signature_is_worth_nothing() -> None:
    """The moment is signed, too: what was overheard cannot be sent again later."""
    secret = a_secret()
    with receiving() as receiver:
        body = b"{}"
        Webhook(LOCAL).post(receiver.url, signature_headers([secret], "an-id", int(time.time()) - 400, body), body)
    with pytest.raises(WebhookVerificationError, match="too old"):
        receiver.told[0].verified(secret)
