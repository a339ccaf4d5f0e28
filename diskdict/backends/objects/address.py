"""The URL of a store of objects, read: `Address`, and the client for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from diskdict.backends.objects.refusals import summary
from diskdict.repeating import checked_interval

try:
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store
except ImportError as error:
    raise ImportError("a store of objects needs obstore: pip install diskdict-store[objects]") from error

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config
    from obstore.store import ObjectStore as Client

TIMEOUT: Final = 30.0

_PARAMETERS: Final = {
    "s3": ("prefix", "endpoint", "region", "timeout", "ca", "anonymous", "virtual_hosted"),
    "gs": ("prefix", "endpoint", "timeout", "ca", "anonymous"),
    "az": ("prefix", "endpoint", "account", "timeout", "ca", "anonymous"),
}
_SWITCH: Final = {"true": True, "false": False}


class Address(NamedTuple):
    """Where a store is, and how it is spoken to.

    ``bucket`` is a container in Azure, ``account`` the storage account there. ``prefix`` begins the name of every
    object. ``endpoint`` is the URL of another service than the one of the name. ``timeout`` is seconds for an answer,
    the whole of it. ``ca`` is the path of a certificate to trust beside those of the system. ``anonymous`` sends no
    credentials; ``virtual_hosted`` has the bucket in the name of the host.
    """

    scheme: str
    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    timeout: float = TIMEOUT
    ca: str | None = None
    anonymous: bool = False
    virtual_hosted: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f" at {self.endpoint}" if self.endpoint else "")


def parsed(url: str) -> Address:
    """Return what a URL says.

    ``s3://bucket[/prefix]``, ``gs:`` or ``az:``, with parameters of `Address` after a ``?``. Credentials are no part of
    it. Anything else is a ValueError.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PARAMETERS or not parts.netloc or parts.fragment:
        raise _wrong("it is s3://bucket, gs://bucket or az://container")
    if "@" in parts.netloc or ":" in parts.netloc:
        raise _wrong("credentials come from the environment, a server by endpoint=")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _PARAMETERS[parts.scheme]]
    if unknown:
        raise _wrong(f"unknown parameter {unknown[0]!r}; there are {', '.join(_PARAMETERS[parts.scheme])}")
    path = unquote(parts.path).strip("/")
    if path and "prefix" in given:
        raise _wrong("the prefix is the path or prefix=, not both")
    try:
        return Address(
            parts.scheme,
            parts.netloc,
            checked_prefix(given.get("prefix", path)),
            _endpoint(given.get("endpoint")),
            given.get("region"),
            given.get("account"),
            checked_interval("timeout", float(given.get("timeout", TIMEOUT))),
            given.get("ca"),
            _switch("anonymous", given),
            _switch("virtual_hosted", given),
        )
    except ValueError as error:
        raise _wrong(str(error)) from None


def checked_prefix(prefix: str) -> str:
    """Return a prefix without slashes at its ends; ValueError where a segment of it is nothing or dots."""
    prefix = prefix.strip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise ValueError(f"a prefix is segments with one slash between them, not {prefix!r}")
    return prefix


def _endpoint(given: str | None) -> str | None:
    if given is not None and ("@" in given or not given.startswith(("http://", "https://"))):
        raise ValueError("an endpoint begins with https:// or http://, and has no password")
    return given


def _switch(name: str, given: dict[str, str]) -> bool:
    text = given.get(name, "false")
    if text not in _SWITCH:
        raise ValueError(f"{name} is true or false, not {text!r}")
    return _SWITCH[text]


def client_of(address: Address) -> Client:
    """Return the obstore client for an address, with credentials of the environment. Nothing is asked yet."""
    timeout = timedelta(seconds=address.timeout)
    options: ClientConfig = {"timeout": timeout, "connect_timeout": timeout}
    if address.endpoint is not None and address.endpoint.startswith("http://"):
        options["allow_http"] = True
    if address.ca is not None:
        options["root_certificate"] = Path(address.ca).read_bytes()
    retry: RetryConfig = {
        "retry_timeout": timeout,
        "backoff": {"init_backoff": timeout / 300, "max_backoff": timeout / 10},
    }
    try:
        return _CLIENTS[address.scheme](address, options, retry)
    except BaseError as error:
        raise ValueError(f"{address}: {summary(error)}") from error


def _s3(address: Address, options: ClientConfig, retry: RetryConfig) -> Client:
    config: S3Config = {
        "skip_signature": address.anonymous,
        "virtual_hosted_style_request": address.virtual_hosted,
        "disable_bulk_delete": True,
    }
    if address.endpoint is not None:
        config["endpoint"] = address.endpoint
    if address.region is not None:
        config["region"] = address.region
    return S3Store(address.bucket, config=config, client_options=options, retry_config=retry)


def _gs(address: Address, options: ClientConfig, retry: RetryConfig) -> Client:
    config: GCSConfig = {"skip_signature": address.anonymous}
    if address.endpoint is not None:
        config["base_url"] = address.endpoint
    return GCSStore(address.bucket, config=config, client_options=options, retry_config=retry)


def _az(address: Address, options: ClientConfig, retry: RetryConfig) -> Client:
    config: AzureConfig = {"skip_signature": address.anonymous}
    if address.endpoint is not None:
        config["endpoint"] = address.endpoint
    if address.account is not None:
        config["account_name"] = address.account
    return AzureStore(address.bucket, config=config, client_options=options, retry_config=retry)


_CLIENTS: Final = {"s3": _s3, "gs": _gs, "az": _az}


def _wrong(why: str) -> ValueError:
    # The URL may hold what is secret.
    return ValueError(f"no URL of a store of objects, as s3://bucket/prefix?region=…: {why}")
