"""Options of object stores, as fsspec's users write them, for obstore. Pure.

The names are those of s3fs, gcsfs and adlfs, because fsspec's configuration files and variables use
them. An option that obstore has no equivalent for is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from negset_api.errors import InvalidInput

IGNORED: Final = frozenset(
    {
        # sizes of blocks and caches, and what else changes the speed only
        "access", "assume_container_exists", "block_size", "blocksize", "cache_regions", "cache_timeout", "consistency",
        "default_block_size", "default_cache_type", "default_fill_cache", "default_location", "fixed_upload_size", "location",
        "max_concurrency", "max_paths", "project", "secure_serialize", "check_connection", "timeout", "version_aware",
        "listings_expiry_time", "use_listings_cache", "skip_instance_cache", "batch_size",
    }
)  # fmt: skip
_ENDPOINT: Final = re.compile(r"(https?)(://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?(?:/[!-~]*)?)", re.ASCII | re.IGNORECASE)
_REGION: Final = re.compile(r"[\w.-]+", re.ASCII)  # it becomes a part of hosts
_DOCUMENTS: Final = frozenset({"service_account_key"})
"""The settings that may have several lines."""
_FALSE: Final = frozenset({"", "0", "false", "no", "off", "none"})


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What obstore needs to connect to one cloud.

    `config`, `client` and `retry` are obstore's `config`, `client_options` and `retry_config`.
    `endpoint` is the URL of a store that is not the cloud's own. `credentials` returns fresh
    credentials. `instance` is the host that is asked for credentials if there are no others.
    `bucket_in_host` puts the bucket into the endpoint's host.
    """

    config: dict[str, str] = {}
    client: dict[str, Any] = {}
    retry: dict[str, int] = {}
    endpoint: str = ""
    credentials: Callable[[], dict[str, Any]] | None = None
    instance: str = ""
    bucket_in_host: bool = False


class Given:
    """The options that were given. Each is taken once, and `finish` refuses the others."""

    def __init__(self, scheme: str, options: Mapping[str, Any]) -> None:
        self._scheme = scheme
        self._options = {name: value for name, value in options.items() if value is not None}
        self._taken: set[str] = set()

    def text(self, *names: str) -> str:
        """Return the first of these options that has a value, as text; else an empty text."""
        self._taken.update(names)
        return next((str(self._options[name]) for name in names if self._options.get(name)), "")

    def flag(self, name: str) -> bool:
        """Return an option that is on or off. Off by default."""
        self._taken.add(name)
        return on(self._options.get(name, ""))

    def value(self, name: str) -> Any:
        self._taken.add(name)
        return self._options.get(name)

    def within(self, name: str) -> Given:
        """Return the options within an option. Raises `InvalidInput` if it is not a mapping."""
        inner = self.value(name) or {}
        if not isinstance(inner, Mapping):
            raise InvalidInput(f"{self._scheme}: expected a mapping as {name} in fsspec's configuration, got {type(inner).__name__}")
        return Given(f"{self._scheme}.{name}", inner)

    def finish(self, *ignored: str) -> None:
        """Raise `InvalidInput` if an option was given that nobody took."""
        left = sorted(set(self._options) - self._taken - IGNORED - set(ignored))
        if left:
            raise InvalidInput(
                f"{self._scheme}: cannot use the option {left[0][:60]!r} of fsspec's configuration; "
                f"remove it (known are {', '.join(sorted(self._taken))})"
            )


def checked(scheme: str, given: StoreOptions) -> StoreOptions:
    """Return the options with the endpoint's scheme in lower case.

    Raises `InvalidInput` for an endpoint, or a setting, with which obstore would panic.
    """
    for name, value in given.config.items():
        if name not in _DOCUMENTS and (not value.isprintable() or value != value.strip()):
            raise InvalidInput(
                f"{scheme}: expected {name} without line breaks and without spaces around it; "
                "remove them from the variable (on a cluster from the Secret) that has it"
            )
    if _REGION.fullmatch(given.config.get("region", "-")) is None:
        raise InvalidInput(f"{scheme}: expected a region such as eu-west-1, got something else")
    if not given.endpoint:
        return given
    parts = _ENDPOINT.fullmatch(given.endpoint)
    if parts is None:
        raise InvalidInput(f"{scheme}: expected an endpoint such as https://HOST or http://HOST:PORT, got something else")
    return msgspec.structs.replace(given, endpoint=parts[1].lower() + parts[2])


def on(value: Any) -> bool:
    """Return whether an option is on. Variables of the environment are texts."""
    return str(value).strip().lower() not in _FALSE


def kept(config: Mapping[str, str | bool]) -> dict[str, str]:
    """Return the entries that have a value, as obstore's texts."""
    return {name: "true" if value is True else str(value) for name, value in config.items() if value}
