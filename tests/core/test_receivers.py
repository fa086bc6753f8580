"""Who may be told, and at which addresses."""

import pytest

from core.errors import InvalidInput
from core.receivers import Receivers

LISTED = Receivers.parse(
    ["hooks.example.com", "*.logic.example:*", "http://localhost:*", "10.0.0.0/8", "https://[2001:db8::1]:8443"]
)
PUBLIC = "https://hooks.example.com/"
LOCAL = "http://localhost:9000/"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/x?y=1",
        "https://prod-1.logic.example:8443/x",
        "http://localhost:1234/",
        "https://[2001:db8::1]:8443/",
    ],
)
def test_a_listed_host_may_be_told(url: str) -> None:
    LISTED.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com.evil.example/",
        "https://evil-hooks.example.com/",
        "https://logic.example/",
        "https://evillogic.example/",
        "https://localhost:1234/",
        "https://10.0.0.1/",
    ],
)
def test_any_other_may_not(url: str) -> None:
    with pytest.raises(InvalidInput, match="not on the list"):
        LISTED.check(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (PUBLIC, "93.184.216.34"),
        (PUBLIC, "2606:4700::1"),
        (PUBLIC, "10.1.1.1"),
        (LOCAL, "127.0.0.1"),
        (LOCAL, "::1"),
        (LOCAL, "192.168.1.4"),
    ],
)
def test_a_host_may_lead_to_public_and_to_listed_addresses_and_a_local_one_to_private_ones(
    url: str, address: str
) -> None:
    assert LISTED.permit(url, address)


@pytest.mark.parametrize("url", [PUBLIC, LOCAL])
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "168.63.129.16",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "224.0.0.1",
        "0.0.0.0",
    ],
)
def test_no_host_may_lead_to_where_a_cloud_tells_its_secrets(url: str, address: str) -> None:
    assert not LISTED.permit(url, address)


def test_a_public_host_may_not_lead_inside() -> None:
    assert not any(LISTED.permit(PUBLIC, address) for address in ("127.0.0.1", "192.168.1.4", "::1", "fd00::1"))


def test_an_address_that_is_listed_is_reached_whatever_it_is() -> None:
    assert Receivers.parse(["hooks.example.com", "169.254.10.0/24"]).permit(PUBLIC, "169.254.10.7")


@pytest.mark.parametrize("entry", ["ftp://x", "https://x/path", "user@x", "x y", "*", "*.", "x:port", "10.0.0.1/8"])
def test_an_entry_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="NOTIFY_HOSTS"):
        Receivers.parse([entry])
