"""Which addresses a webhook may have: https on the public internet, or what WEBHOOK_ALLOW names.

A user names the address and this server connects to it, so it must not reach what only this server can reach. A host
is looked up once for each attempt, every address of it is checked, and the connection goes to exactly these addresses:
an answer of the name server that changes later changes nothing. This module connects to nothing.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from settings import Network

LONGEST_URL = 2000  #: characters
HTTP, HTTPS, FIRST_FREE_PORT = 80, 443, 1024
#: Printable ASCII without blanks, quotes, backslashes and angle brackets, which programs read differently.
PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~]+")
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
#: A last label that programs read as a number makes the whole name an IPv4 address: 127.1, 0x7f000001, 0177.0.0.1.
NUMBER = re.compile(r"(\d+|0x[0-9a-f]*)\.?$")
#: What ipaddress calls global and is not: assigned by protocols, relays, and the metadata addresses of clouds.
NOT_PUBLIC = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "168.63.129.16", "2001::/23", "2001:db8::/32",
                     "2002::/16", "3fff::/20"))
)  # fmt: skip
#: All IPv6 addresses of the public internet. Outside are loopback, local and multicast ones, and the forms that carry
#: an IPv4 address (mapped, compatible, translated, NAT64); 6to4 and Teredo are in NOT_PUBLIC.
PUBLIC_V6 = ip_network("2000::/3")

Address = IPv4Address | IPv6Address
#: Host and port → the addresses of the host. Raises OSError.
Resolve = Callable[[str, int], Sequence[str]]


class AddressRefusedError(Exception):
    """Nothing was sent: the address may not be used. The message is a sentence for the page."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a webhook is sent: the parts of its URL, and the addresses that were checked."""

    is_tls: bool
    host: str  #: lower case; of an IPv6 address without brackets
    port: int
    path: str  #: with the query
    addresses: tuple[str, ...] = ()  #: of the host, each of them allowed


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the best first. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def find_endpoint(url: str, allowed: Sequence[Network], resolve: Resolve = look_up) -> Endpoint:
    """Return where to send a webhook with this URL; each address of its host is checked. Raises AddressRefusedError.

    allowed are networks that are not public, in which also plain http and every port may be used.
    """
    endpoint = read_url(url)
    try:
        found = [ip_address(address) for address in resolve(endpoint.host, endpoint.port)]
    except (OSError, ValueError, UnicodeError) as error:
        raise AddressRefusedError(f"The host {endpoint.host} was not found.") from error
    if not found:
        raise AddressRefusedError(f"The host {endpoint.host} has no address.")
    outside = [address for address in found if not is_allowed(address, allowed)]
    if outside:
        _check_public(endpoint, outside)
    return replace(endpoint, addresses=tuple(map(str, found)))


def read_url(url: str) -> Endpoint:
    """Return the parts of a URL; its host is not looked up. Raises AddressRefusedError."""
    if len(url) > LONGEST_URL or not PLAIN.fullmatch(url.lower()):
        raise AddressRefusedError("Enter a URL of plain characters without blanks, such as https://example.com/hook.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        literal = ip_address(host) if ":" in host else None
    except ValueError as error:
        raise AddressRefusedError("The URL cannot be read: check its host and port.") from error
    if parts.scheme not in ("http", "https"):
        raise AddressRefusedError("The URL must begin with https://.")
    if "@" in parts.netloc or parts.fragment:
        raise AddressRefusedError("The URL must not contain a user name, a password or a part after #.")
    if literal is None and not _is_host(host):
        raise AddressRefusedError("The host must be a name such as example.com, or an address in its usual form.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_tls = parts.scheme == "https"
    usual = HTTPS if is_tls else HTTP
    if port == 0:
        raise AddressRefusedError("The port must be a number from 1 to 65535.")
    return Endpoint(is_tls, host, port or usual, path)


def _is_host(host: str) -> bool:
    """Return whether a host is a name, or an IPv4 address in four decimal numbers."""
    if not NUMBER.search(host):
        return HOST_NAME.fullmatch(host) is not None
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether an address is in one of these networks."""
    return any(address.version == network.version and address in network for network in allowed)


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, for one receiver."""
    if isinstance(address, IPv6Address) and (address.scope_id or address not in PUBLIC_V6):
        return False
    return address.is_global and not address.is_multicast and not is_allowed(address, NOT_PUBLIC)


def _check_public(endpoint: Endpoint, found: Sequence[Address]) -> None:
    hidden = next((address for address in found if not is_public(address)), None)
    if hidden is not None:
        raise AddressRefusedError(
            f"The host {endpoint.host} has the address {hidden}, which is not public. Name its network in WEBHOOK_ALLOW"
            " if it is yours."
        )
    if not endpoint.is_tls:
        raise AddressRefusedError("The URL must begin with https://.")
    if endpoint.port != HTTPS and endpoint.port < FIRST_FREE_PORT:
        raise AddressRefusedError(f"The port must be {HTTPS}, or {FIRST_FREE_PORT} and above.")
