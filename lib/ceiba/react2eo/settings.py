"""Settings of the public server, read from the environment and checked when it starts."""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from ceiba.config import Config
from ceiba.errors import SettingsError
from ceiba.react2eo.reactions.terms import LENGTHS

Networks = tuple[IPv4Network | IPv6Network, ...]

LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "tiles": 1200,
        "wms": 600,
        "external": 1200,
        "animations": 60,
        "slices": 120,
        "reactions": 300,
        "dashboards": 60,
        "pages": 3000,
        "device": 30,
        "body_kb": 64,
    }
)
"""Requests of each kind a minute and network that are answered; reactions a minute and device; largest body of a request [kB]."""
LOOPBACK = "127.0.0.0/8 ::1"
DATABASES = ("sqlite", "postgresql")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Settings:
    """What a deployment chose.

    Attributes
    ----------
    folder
        Where the server keeps what is its own: ``react2eo`` in the local folder of the store.
    reactions_url
        Address of the database of reactions (``CEIBA_REACTIONS_URL``), for SQLAlchemy; SQLite in ``folder`` by default.
    reactions_term
        How long a device is recognized (``CEIBA_REACTIONS_TERM``): "quarter" by default, "month" or "year".
    trusted_proxies
        Networks whose word about a client's address is believed (``CEIBA_TRUSTED_PROXIES``); none by default.
    allowed_origins
        Other web sites whose pages may write, as "https://maps.example" (``CEIBA_ALLOWED_ORIGINS``); reading is open to all.
    public_url
        Address under which people know the server, without a slash at its end (``CEIBA_PUBLIC_URL``); empty where it is not told.
    external_layers
        Names of layers of other servers, of those that ``catalogs/themes.yml`` lists (``CEIBA_EXTERNAL_LAYERS``); none by default.
    metrics_networks
        Networks that may read ``/metrics`` (``CEIBA_METRICS_NETWORKS``); this machine by default.
    android_package
        Name of the app in Android's store (``CEIBA_ANDROID_PACKAGE``), which then opens our pages without a browser's bar.
    android_fingerprints
        SHA-256 fingerprints of the keys that sign it (``CEIBA_ANDROID_FINGERPRINTS``).
    limits
        Numbers of :data:`LIMITS`, of which ``CEIBA_LIMITS`` may change some: "tiles=6000 device=60".
    """

    folder: Path
    reactions_url: str
    reactions_term: str = "quarter"
    trusted_proxies: Networks = ()
    allowed_origins: tuple[str, ...] = ()
    public_url: str = ""
    external_layers: tuple[str, ...] = ()
    metrics_networks: Networks = ()
    android_package: str = ""
    android_fingerprints: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=lambda: LIMITS)

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read all of them; raises :class:`SettingsError` that says which is wrong and what it may be."""
        folder = Config.from_environment().local / "react2eo"
        return cls(
            folder=folder,
            reactions_url=read_database("CEIBA_REACTIONS_URL", default=f"sqlite:///{folder / 'reactions.sqlite'}"),
            reactions_term=read_choice("CEIBA_REACTIONS_TERM", LENGTHS),
            trusted_proxies=read_networks("CEIBA_TRUSTED_PROXIES"),
            allowed_origins=tuple(check_origin("CEIBA_ALLOWED_ORIGINS", each) for each in read_list("CEIBA_ALLOWED_ORIGINS")),
            public_url=read_origin("CEIBA_PUBLIC_URL"),
            external_layers=tuple(dict.fromkeys(read_list("CEIBA_EXTERNAL_LAYERS"))),
            metrics_networks=read_networks("CEIBA_METRICS_NETWORKS", default=LOOPBACK),
            android_package=read_package("CEIBA_ANDROID_PACKAGE"),
            android_fingerprints=read_fingerprints("CEIBA_ANDROID_FINGERPRINTS"),
            limits=read_limits("CEIBA_LIMITS"),
        )


def read_list(name: str, *, default: str = "") -> list[str]:
    """Parts of a variable, which blanks or commas separate."""
    return re.split(r"[\s,]+", value) if (value := os.environ.get(name, default).strip(" \t\n,")) else []


def read_choice(name: str, choices: Sequence[str]) -> str:
    """One of the choices, the first where the variable is not set; raises :class:`SettingsError`."""
    text = os.environ.get(name, "").strip() or choices[0]
    if text not in choices:
        raise SettingsError(f"{name}: {text[:20]!r}; it may be {', '.join(choices)}")
    return text


def read_networks(name: str, *, default: str = "") -> Networks:
    """IP networks of a variable; raises :class:`SettingsError`, also on a network of everybody."""
    networks = []
    for text in read_list(name, default=default):
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise SettingsError(
                f"{name}: {text!r} is no IP address or network ({error}); write for example '10.0.0.5, 10.1.0.0/16, fd00::/8'"
            ) from error
        if network.prefixlen == 0:
            raise SettingsError(f"{name}: {text!r} is everybody, who could then say anything; name the networks of your own")
        networks.append(network)
    return tuple(networks)


def read_origin(name: str) -> str:
    """Scheme, host and port of a variable, or empty; raises :class:`SettingsError`."""
    text = os.environ.get(name, "").strip()
    return check_origin(name, text) if text else ""


def check_origin(name: str, text: str) -> str:
    """``text`` as browsers write an origin, with neither a slash at its end nor a usual port; raises :class:`SettingsError`."""
    wrong = SettingsError(f"{name}: {text!r} is no origin; write scheme, host and port alone, as 'https://maps.example'")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong from error
    plain = parts.path in {"", "/"} and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in DEFAULT_PORTS or not plain or not re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", host):
        raise wrong
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, DEFAULT_PORTS[parts.scheme]} else "")


def read_database(name: str, *, default: str) -> str:
    """Address of a database as SQLAlchemy takes it; raises :class:`SettingsError`, which does not repeat a password."""
    text = os.environ.get(name, "").strip() or default
    scheme, mark, rest = text.partition("://")
    kind = {"postgres": "postgresql"}.get(scheme, scheme.partition("+")[0])
    if not mark or kind not in DATABASES or not rest:
        raise SettingsError(
            f"{name} begins with {scheme[:20]!r}; allowed are 'sqlite:///' with a file's path, and "
            "'postgresql://user:password@host/database'"
        )
    # Of the drivers for PostgreSQL this is the one that Ceiba installs.
    return f"postgresql+psycopg2://{rest}" if kind == "postgresql" else text


def read_package(name: str) -> str:
    """Name of an Android app, or empty; raises :class:`SettingsError`."""
    text = os.environ.get(name, "").strip()
    if text and not re.fullmatch(r"[a-zA-Z]\w*(\.[a-zA-Z]\w*)+", text, flags=re.ASCII):
        raise SettingsError(f"{name}: {text!r} is no name of an Android app; write two words or more, as 'org.example.react2eo'")
    return text


def read_fingerprints(name: str) -> tuple[str, ...]:
    """SHA-256 fingerprints as ``keytool -list`` shows them; raises :class:`SettingsError`."""
    fingerprints = tuple(each.upper() for each in read_list(name))
    for text in fingerprints:
        if not re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}", text):
            raise SettingsError(f"{name}: {text[:20]!r} is no SHA-256 fingerprint; write 32 bytes as 'AB:CD:...'")
    return fingerprints


def read_limits(name: str) -> Mapping[str, int]:
    """:data:`LIMITS` with the changes of a variable; raises :class:`SettingsError`."""
    changed = {}
    for text in read_list(name):
        limit, _, number = text.partition("=")
        if limit not in LIMITS or not re.fullmatch(r"[1-9][0-9]{0,8}", number):
            raise SettingsError(
                f"{name}: {text!r}; write name=number with a number from 1 on, for example 'tiles=6000 device=60'; "
                f"there are {', '.join(f'{key} ({value})' for key, value in LIMITS.items())}"
            )
        changed[limit] = int(number)
    return MappingProxyType({**LIMITS, **changed})
