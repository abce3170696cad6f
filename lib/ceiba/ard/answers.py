"""The beginning of every transfer: what a web server or a bucket answers to one request for a file or a part of it."""

import os
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions
import requests

from ceiba.errors import InputError, SceneError, TransferError
from ceiba.providers import Access, Patience, forget_token, sign_address

CHUNK_BYTES = 32 * 1024  # what is lost where a connection breaks
# Answers of a server that is busy or starting; all other refusals are final.
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


def shorten(href: str) -> str:
    """An address without its query, which may hold a token."""
    return href.partition("?")[0]


class HttpAnswer:
    """An answer of a web server, open until its ``with`` ends."""

    def __init__(self, response: requests.Response, first: int):
        self._response = response
        headers = response.headers
        self.is_past_end = response.status_code == 416
        self.is_part = response.status_code == 206
        self.first, self.size_bytes = 0, _as_count(headers.get("Content-Length"))
        if self.is_part:
            span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            told = _as_count(span.partition("-")[0])
            self.first = first if told is None else told
            self.size_bytes = _as_count(total)
        elif self.is_past_end:
            self.size_bytes = _as_count(headers.get("Content-Range", "").rpartition("/")[2])
        elif headers.get("Content-Encoding"):
            self.size_bytes = None  # the length is that of the packed bytes
        etag = headers.get("ETag", "")
        # A weak mark stands for files that are alike, not equal.
        self.version = "" if etag.startswith("W/") else etag
        self.version = self.version or headers.get("Last-Modified", "")

    def __enter__(self) -> "HttpAnswer":
        return self

    def __exit__(self, *_) -> None:
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come; raises :class:`TransferError` where they break off."""
        try:
            yield from self._response.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise TransferError(f"the connection broke: {error}") from error


class S3Answer:
    """An object of a bucket, or a part of it; without a body where the asked part lies behind its end."""

    def __init__(self, answer: dict, first: int):
        self._body = answer.get("Body")
        self.is_past_end = self._body is None
        span = answer.get("ContentRange", "")
        self.is_part = bool(span)
        self.first = first
        self.size_bytes = _as_count(span.rpartition("/")[2]) if span else _as_count(answer.get("ContentLength"))
        self.version = answer.get("ETag", "")

    def __enter__(self) -> "S3Answer":
        return self

    def __exit__(self, *_) -> None:
        if self._body is not None:
            self._body.close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come; raises :class:`TransferError` where they break off."""
        try:
            yield from self._body.iter_chunks(CHUNK_BYTES)
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise TransferError(f"the connection broke: {error}") from error


def open_answer(
    href: str, access: Access, patience: Patience, *, first: int = 0, last: int | None = None, version: str = ""
) -> HttpAnswer | S3Answer:
    """Ask for the bytes from ``first``; ``version`` makes a changed file come whole."""
    scheme = urlsplit(href).scheme
    span = f"bytes={first}-{'' if last is None else last}" if first or last is not None else ""
    if scheme == "s3":
        return _open_s3(href, access, patience, span, first, version)
    if scheme in ("http", "https"):
        return _open_http(href, patience, span, first, version)
    raise SceneError(f"{shorten(href)}: addresses begin with http://, https:// or s3://")


def _open_http(href: str, patience: Patience, span: str, first: int, version: str) -> HttpAnswer:
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": span} if span else {}
    headers |= {"If-Range": version} if span and version else {}
    try:
        response = _session().get(sign_address(href), headers=headers, stream=True, timeout=patience.timeout_s)
    except requests.RequestException as error:
        # Reasons of requests hold the whole address, and that may hold a token.
        raise TransferError(f"no answer ({type(error).__name__})") from error
    except InputError as error:
        raise TransferError(str(error)) from error
    status = response.status_code
    if status in (200, 206) or (status == 416 and first):
        return HttpAnswer(response, first)
    response.close()
    if status in PASSING_STATUS or (status in (401, 403) and forget_token(href)):
        error = TransferError(f"the server answered {status} {response.reason}")
        error.retry_after_s = _as_count(response.headers.get("Retry-After")) or 0.0
        raise error
    raise SceneError(f"{shorten(href)} is refused: {status} {response.reason}")


def _open_s3(href: str, access: Access, patience: Patience, span: str, first: int, version: str) -> S3Answer:
    parts = urlsplit(href)
    request = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    request |= {"Range": span} if span else {}
    request |= {"IfMatch": version} if version else {}
    request |= {"RequestPayer": "requester"} if access.requester_pays else {}
    client = _s3_client(access, patience.timeout_s)
    try:
        try:
            return S3Answer(client.get_object(**request), first)
        except botocore.exceptions.ClientError as error:
            if not first or _status(error) != 416:
                raise
            # A run that was killed between the last byte and its check left a whole file: its size tells.
            request.pop("Range")
            return S3Answer(client.head_object(**request), first)
    except botocore.exceptions.ClientError as error:
        status = _status(error)
        if status == 412:  # another version lies there now: all of it
            return _open_s3(href, access, patience, "", 0, "")
        if status in PASSING_STATUS:
            raise TransferError(f"the bucket answered {status}") from error
        raise SceneError(f"{href} is refused: {error}; are the keys in {_key_names(access)} right?") from error
    except botocore.exceptions.NoCredentialsError as error:
        raise SceneError(f"{href} needs keys: set {_key_names(access)}") from error
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise TransferError(f"no answer ({type(error).__name__})") from error


def _status(error: botocore.exceptions.ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _key_names(access: Access) -> str:
    return f"{access.key_variable or 'AWS_ACCESS_KEY_ID'} and {access.secret_variable or 'AWS_SECRET_ACCESS_KEY'}"


_threads = threading.local()


def _session() -> requests.Session:
    if not hasattr(_threads, "session"):
        _threads.session = requests.Session()
    return _threads.session


def _s3_client(access: Access, timeout_s: float):
    key = (access, timeout_s, os.environ.get("AWS_ENDPOINT_URL", ""))
    clients = _threads.__dict__.setdefault("clients", {})
    if key not in clients:
        clients[key] = boto3.session.Session().client(
            "s3",
            endpoint_url=access.endpoint or None,
            region_name=access.region or None,
            aws_access_key_id=os.environ.get(access.key_variable) if access.key_variable else None,
            aws_secret_access_key=os.environ.get(access.secret_variable) if access.secret_variable else None,
            config=botocore.config.Config(
                connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1}
            ),
        )
    return clients[key]


def _as_count(text: object) -> int | None:
    try:
        count = int(str(text))
    except ValueError:
        return None
    return count if count >= 0 else None

