"""Who asks: the network of a client behind trusted proxies, known in memory alone and only as a keyed hash."""

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ceiba.react2eo.settings import Networks

Address = IPv4Address | IPv6Address

PREFIXES = {4: 24, 6: 48}
"""Bits of an address that tell a network: what one household or office gets of IPv6, and its neighbors of IPv4."""
HOP = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%\w+)?\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?|([0-9A-Fa-f:.]+)(?:%\w+)?")
LONGEST_HOP = 60
KEY_BYTES = 8


class Clients:
    """ASGI middleware that finds out once who asks, for those within it: :func:`find_key` and :func:`find_address`."""

    def __init__(self, app: ASGIApp, *, trusted: Networks):
        self.app = app
        self.trusted = trusted
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            headers = Headers(scope=scope)
            peer = read_hop((scope.get("client") or ("",))[0])
            forwarded = headers.getlist("x-forwarded-for")
            behind = is_within(peer, self.trusted)
            address = choose_client(peer, forwarded, self.trusted) if behind else peer
            # A proxy that nobody declared would pass everybody off as one of its own network.
            scope["ceiba.address"] = None if not behind and (forwarded or "forwarded" in headers) else address
            scope["ceiba.client"] = network_key(address, self._secret)
            if behind and headers.get("x-forwarded-proto") == "https":
                scope["scheme"] = {"http": "https", "ws": "wss"}.get(scope["scheme"], scope["scheme"])
        await self.app(scope, receive, send)


def find_key(scope: Scope) -> bytes:
    """Hash of the client's network under a secret of this process: equal for requests of one network, of use to nobody else."""
    return scope.get("ceiba.client", b"")


def find_address(scope: Scope) -> Address | None:
    """Address of the client, None where it is not known for certain. To be held against networks; never to be kept or logged."""
    return scope.get("ceiba.address")


def choose_client(peer: Address | None, forwarded: Sequence[str], trusted: Networks) -> Address | None:
    """Address of the client according to ``X-Forwarded-For``: the last hop that is none of the trusted proxies.

    Each proxy adds at the right whom it was asked by. What stands left of the first hop that is not trusted was written by
    that client itself and is not read. A hop that is no address ends the search at the proxy that passed it on.

    Parameters
    ----------
    peer
        Who opened the connection, a trusted proxy.
    forwarded
        The header's lines.
    """
    client = peer
    for text in reversed(",".join(forwarded).split(",")):
        hop = read_hop(text.strip())
        if hop is None:
            break
        client = hop
        if not is_within(hop, trusted):
            break
    return client


def read_hop(text: str) -> Address | None:
    """An IP address, with or without brackets, zone and port; None where it is none."""
    match = HOP.fullmatch(text) if len(text) <= LONGEST_HOP else None
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(next(part for part in match.groups() if part))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address


def is_within(address: Address | None, networks: Networks) -> bool:
    """Whether an address belongs to one of the networks."""
    return address is not None and any(address in network for network in networks)


def network_key(address: Address | None, secret: bytes) -> bytes:
    """Hash of the network of an address under a secret; all unknown addresses share one."""
    network = b""
    if address is not None:
        bits = PREFIXES[address.version]
        network = bytes([address.version]) + (int(address) >> (address.max_prefixlen - bits)).to_bytes(bits // 8)
    return hashlib.blake2b(network, key=secret, digest_size=KEY_BYTES).digest()
