"""Which hosts may be told of events, and under which addresses."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from core.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ENTRY = re.compile(r"(?:(https?)://)?((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(\d{1,5}|\*))?/?")
PORTS = {"http": 80, "https": 443}
# What a cloud's machines are told their secrets at, in ranges that look public or merely private.
METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Host:
    """An entry of the list. `port` None: any."""

    scheme: str
    name: str
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Raises ValueError."""
        found = ENTRY.fullmatch(entry.lower())
        if not found:
            raise ValueError(f"NOTIFY_HOSTS: {entry!r} is neither a host nor an address")
        scheme = found[1] or "https"
        port = None if found[3] == "*" else int(found[3] or PORTS[scheme])
        return cls(scheme, found[2].strip("[]"), port)

    def matches(self, url: SplitResult) -> bool:
        name = url.hostname or ""
        named = name.endswith(self.name[1:]) if self.name.startswith("*.") else name == self.name
        return named and url.scheme == self.scheme and self.port in (None, url.port or PORTS[url.scheme])


@dataclass(frozen=True)
class Receivers:
    """The setting NOTIFY_HOSTS: hosts that may be called, and addresses that are reached although they are no public
    ones. Entries: `HOST`, `HOST:PORT` or `HOST:*` by https; the same behind `http://`, for local use; `*.DOMAIN`; an
    address or a network."""

    hosts: tuple[Host, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Self:
        """Raises ValueError."""
        networks = {entry: found for entry in entries if (found := as_network(entry))}
        return cls(tuple(Host.parse(entry) for entry in entries if entry not in networks), tuple(networks.values()))

    def check(self, url: str) -> None:
        """Raises InvalidInput("notify_disabled"), InvalidInput("notify_host_not_allowed")."""
        if not self.hosts:
            raise InvalidInput(
                "notify_disabled",
                "this app tells nobody of its jobs.",
                parameter="notify",
                remedy="Leave notify out and ask for the job's status, or have hosts listed in NOTIFY_HOSTS.",
            )
        if not self.entries_for(url):
            parts = urlsplit(url)
            raise InvalidInput(
                "notify_host_not_allowed",
                f"{parts.scheme}://{parts.netloc} is not on the list of those that may be told.",
                parameter="notify.url",
                remedy="Use one that is, or have it added to NOTIFY_HOSTS.",
            )

    def permit(self, url: str, address: str) -> bool:
        """Whether the host may be reached under this address: a public one, or one that is listed; for a host that is
        listed with http:// also a private one, but never what a cloud tells its secrets at."""
        found = meant(ipaddress.ip_address(address))
        if any(found in network for network in self.networks):
            return True
        if found.is_link_local or found.is_multicast or found.is_unspecified or found in METADATA:
            return False
        return found.is_global or any(entry.scheme == "http" for entry in self.entries_for(url))

    def entries_for(self, url: str) -> list[Host]:
        parts = urlsplit(url)
        return [host for host in self.hosts if host.matches(parts)]


def as_network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, when it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
