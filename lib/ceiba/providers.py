"""Archives on the network: who provides them, and how their files are opened (``catalogs/providers.yml``)."""

import functools
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import requests
import yaml

from ceiba.config import Config, project_root
from ceiba.errors import CatalogError, InputError

FILE_NAME = "providers.yml"
KINDS = ("stac", "sentinel_hub")
ACCESS_KINDS = ("open", "sas", "s3")
EXPIRY_MARGIN = timedelta(minutes=5)
TOKEN_TIMEOUT_S = 30


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    timeout_s
        Longest silence of a server [s].
    attempts
        Requests in all, before it is given up.
    base_delay_s, max_delay_s
        The pause before attempt n+1 is a random part of base * 2 ** n, at most the maximum [s].
    """

    timeout_s: float = 30.0
    attempts: int = 5
    base_delay_s: float = 1.0
    max_delay_s: float = 60.0


@dataclass(frozen=True)
class Access:
    """How the files of a provider are opened; keys and secrets are read from the environment variables named here.

    Attributes
    ----------
    kind
        "open", "sas" or "s3".
    token_url
        Address that answers a token for ``{account}`` and ``{container}`` of an address, for "sas".
    hosts
        Ends of the host names that need the token.
    alternate
        Name of the alternate address of an asset that is used in place of its own.
    """

    kind: str = "open"
    token_url: str = ""
    hosts: tuple[str, ...] = ()
    key_header: str = ""
    key_variable: str = ""
    secret_variable: str = ""
    endpoint: str = ""
    region: str = ""
    requester_pays: bool = False
    alternate: str = ""


@dataclass(frozen=True)
class Collection:
    """A collection of a provider: ``sensors`` platform to sensor, ``assets`` name in Ceiba to name in the archive.

    ``unused`` are platforms that the collection has too and that are passed over.
    """

    name: str
    sensors: Mapping[str, str]
    assets: Mapping[str, str]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """An entry of ``catalogs/providers.yml``; ``settings`` holds what belongs to its kind alone."""

    name: str
    kind: str
    title: Mapping[str, str]
    url: str
    access: Access
    collections: tuple[Collection, ...]
    patience: Patience = Patience()
    settings: Mapping[str, object] = field(default_factory=dict)


def load_providers() -> dict[str, Provider]:
    """All providers by name: those of the project, and over them those of the store's ``providers.yml``."""
    paths = [project_root() / "catalogs" / FILE_NAME, Config.from_environment().local / FILE_NAME]
    providers: dict[str, Provider] = {}
    for path in paths:
        if path.exists():
            providers |= _read_providers(path, path.stat().st_mtime_ns)
    return providers


@functools.cache
def _read_providers(path: Path, _changed: int) -> dict[str, Provider]:
    try:
        entries = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CatalogError(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
        raise CatalogError(f"{path} must map the name of each provider to its entry, as catalogs/{FILE_NAME} does")
    return {name: read_provider(name, entry, path.name) for name, entry in entries.items()}


def read_provider(name: str, entry: Mapping, where: str = FILE_NAME) -> Provider:
    """Check one entry; raises :class:`CatalogError` that says what is wrong and what is allowed."""
    known = {"title", "kind", "url", "access", "collections", "patience", "reference", "settings"}
    unknown = sorted(set(entry) - known)
    missing = [key for key in ("title", "kind", "url", "collections") if not entry.get(key)]
    if unknown or missing:
        raise CatalogError(
            f"{where}, provider {name!r}: unknown {', '.join(unknown) or 'nothing'}, missing "
            f"{', '.join(missing) or 'nothing'}; allowed are {', '.join(sorted(known))}"
        )
    if entry["kind"] not in KINDS or (entry.get("access") or {}).get("kind", "open") not in ACCESS_KINDS:
        raise CatalogError(
            f"{where}, provider {name!r}: kind is one of {', '.join(KINDS)}, that of access one of {', '.join(ACCESS_KINDS)}"
        )
    try:
        access = dict(entry.get("access") or {})
        return Provider(
            name=name,
            kind=entry["kind"],
            title=entry["title"],
            url=str(entry["url"]).rstrip("/"),
            access=Access(**access | {"hosts": tuple(access.get("hosts") or ())}),
            collections=tuple(
                Collection(key, dict(rule["sensors"]), dict(rule["assets"]), tuple(rule.get("unused") or ()))
                for key, rule in entry["collections"].items()
            ),
            patience=Patience(**(entry.get("patience") or {})),
            settings=entry.get("settings") or {},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"{where}, provider {name!r}: {error!r}") from error


def find_provider(name: str) -> Provider:
    """Provider by name; raises :class:`CatalogError` naming those that exist."""
    providers = load_providers()
    if name not in providers:
        raise CatalogError(f"no provider {name!r}; there are {', '.join(providers)} (catalogs/{FILE_NAME})")
    return providers[name]


@dataclass(frozen=True)
class _Token:
    text: str
    expires: datetime


_tokens: dict[str, _Token] = {}
_tokens_lock = threading.Lock()


def sign_address(href: str) -> str:
    """An address with the token that its provider asks for, or as it is; a token is kept until shortly before it expires.

    Raises
    ------
    InputError
        Where the token cannot be had.
    """
    rule = _token_rule(href)
    if rule is None:
        return href
    _keep_tokens_out_of_logs()
    token_url = _token_url(rule, href)
    with _tokens_lock:
        token = _tokens.get(token_url)
        if token is None or token.expires - EXPIRY_MARGIN < datetime.now(UTC):
            token = _tokens[token_url] = _ask_token(rule, token_url)
    return f"{href}{'&' if urlsplit(href).query else '?'}{token.text}"


def hide_tokens(text: str) -> str:
    """A message with the query of each web address taken out: it may hold a token, and GDAL names the whole address."""
    return re.sub(r"""(https?://[^\s?'"`]+)\?[^\s'"`]*""", r"\1", text)


@functools.cache
def _keep_tokens_out_of_logs() -> None:
    """From now on no message of this process tells the query of an address: GDAL's and the cube's own errors do."""
    make = logging.getLogRecordFactory()

    def make_without_token(*args, **kwargs) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            told = record.getMessage()
        except (TypeError, ValueError, KeyError):
            return record  # its arguments do not fit; logging itself says so
        hidden = hide_tokens(told)
        if hidden != told:
            record.msg, record.args = hidden, ()
        return record

    logging.setLogRecordFactory(make_without_token)


def forget_token(href: str) -> bool:
    """Forget the token of an address that was refused; says whether there was one."""
    rule = _token_rule(href)
    with _tokens_lock:
        return rule is not None and _tokens.pop(_token_url(rule, href), None) is not None


def _token_rule(href: str) -> Access | None:
    host = urlsplit(href).hostname or ""
    if not href.startswith(("http://", "https://")):
        return None
    for provider in load_providers().values():
        if provider.access.kind == "sas" and any(host == end or host.endswith(end) for end in provider.access.hosts):
            return provider.access
    return None


def _token_url(rule: Access, href: str) -> str:
    parts = urlsplit(href)
    account, container = (parts.hostname or "").partition(".")[0], parts.path.lstrip("/").partition("/")[0]
    return rule.token_url.format(account=account, container=container)


def _ask_token(rule: Access, token_url: str) -> _Token:
    key = os.environ.get(rule.key_variable, "") if rule.key_variable else ""
    headers = {rule.key_header: key} if key and rule.key_header else {}
    try:
        response = requests.get(token_url, headers=headers, timeout=TOKEN_TIMEOUT_S)
        response.raise_for_status()
        answer = response.json()
        expires = datetime.fromisoformat(answer["msft:expiry"].replace("Z", "+00:00"))
        return _Token(answer["token"], expires if expires.tzinfo else expires.replace(tzinfo=UTC))
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"no token from {token_url}: {error}") from error
