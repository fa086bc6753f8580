"""With a managed identity the URL for an upload is signed with a key of the identity, not of the account."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient

from infrastructure.blob import BlobRepository
from local.setup.programs import azurite_main
from local.stack.azurite import ACCOUNT
from local.stack.ports import HOST, answers, choose_port
from tests.conftest import ROOT

TENANT = "11111111-1111-1111-1111-111111111111"


class Identity:
    """Azurite reads a token's claims and not its signature."""

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        now = int(time.time())
        claims = {"iss": f"https://sts.windows.net/{TENANT}/", "aud": "https://storage.azure.com", "tid": TENANT}
        times = {"iat": now - 60, "nbf": now - 60, "exp": now + 3600}
        parts = ({"alg": "HS256", "typ": "JWT"}, claims | times | {"oid": str(uuid4())})
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return AccessToken(".".join([*encoded, "c2lnbmVk"]), now + 3600)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={HOST}"]
    names = ["-addext", f"subjectAltName=IP:{HOST}", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*made, *names], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def account(certificate: Path) -> Iterator[str]:
    """The URL of a storage account that knows identities, which takes TLS."""
    port, folder = choose_port(), certificate.parent
    command = [
        shutil.which("node"),
        azurite_main(ROOT),
        "--blobHost",
        HOST,
        "--blobPort",
        str(port),
        "--oauth",
        "basic",
    ]
    tls = [
        "--cert",
        certificate,
        "--key",
        folder / "key.pem",
        "--location",
        folder,
        "--skipApiVersionCheck",
        "--silent",
    ]
    running = subprocess.Popen([str(part) for part in [*command, *tls, "--disableTelemetry"]], cwd=folder)
    deadline = time.monotonic() + 60
    while not answers(port):
        assert time.monotonic() < deadline, "Azurite does not start"
        time.sleep(0.1)
    yield f"https://{HOST}:{port}/{ACCOUNT}"
    running.terminate()
    running.wait()


def test_the_url_is_signed_with_the_identitys_key(account: str, certificate: Path) -> None:
    """What was signed cannot be tried: Azurite does not know the newest layout of a signature, which the SDK writes."""
    service = BlobServiceClient(account, Identity(), connection_verify=str(certificate))
    until = datetime.now(UTC) + timedelta(minutes=5)
    url = BlobRepository(service, "bronze").writing_url("uploads/a b/ä.csv", until)
    assert url is not None
    place, _, query = url.partition("?")
    assert place == f"{account}/bronze/uploads/a%20b/%C3%A4.csv"
    signed = dict(parse_qsl(query))
    assert (signed["sr"], signed["sp"], signed["spr"]) == ("b", "cw", "https")
    assert (signed["sktid"], signed["se"], signed["ske"]) == (TENANT, *[f"{until:%Y-%m-%dT%H:%M:%SZ}"] * 2)
