"""The receiver that docs/notifications.md shows works as it stands there."""

import re
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from core.receivers import Receivers
from infrastructure.webhook import Webhook, signature_headers

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5"
BODY = b'{"type": "vector-etl.job.failed", "subject": "1f0c", "data": {"error": "why"}}'


def shown_receiver(port: int) -> str:
    page = (ROOT / "docs/notifications.md").read_text()
    [code] = re.findall(r"^(    from http.server.*?serve_forever\(\)\n)", page, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(code).replace("whsec_...", SECRET).replace("9000", str(port))


def test_the_receiver_takes_what_is_signed_and_nothing_else() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    webhook, url = Webhook(Receivers.parse(["http://127.0.0.1:*"])), f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-u", "-c", shown_receiver(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            headers = signature_headers([SECRET], "an-id", int(time.time()), BODY)
            for _ in range(200):
                answer = webhook.post(url, headers, BODY)
                if "Refused" not in (answer.problem or ""):
                    break
                time.sleep(0.1)
            assert answer.status == 204
            assert process.stdout
            assert process.stdout.readline() == "vector-etl.job.failed 1f0c why\n"
            assert webhook.post(url, headers | {"webhook-id": "another"}, BODY).status is None
        finally:
            process.terminate()
