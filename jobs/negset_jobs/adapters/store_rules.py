"""The options of stores by the beginning of their URLs (`spec.stores`). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from negset_api import decoding
from negset_api.errors import InvalidInput
from negset_api.spec import StoreAccess, secret_prefix

_S3: Final = ("s3", "s3a")
_GOOGLE: Final = ("gs", "gcs")
_ALIASES: Final = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
_AZURE: Final = {
    "connection_string": ("AZURE_STORAGE_CONNECTION_STRING",),
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN",),
    "client_id": ("AZURE_CLIENT_ID",),
    "client_secret": ("AZURE_CLIENT_SECRET",),
    "tenant_id": ("AZURE_TENANT_ID",),
}


def rule_for(rules: Sequence[StoreAccess], url: str) -> StoreAccess | None:
    """Return the rule with the longest prefix of a URL, or None."""
    found = [rule for rule in rules if _covers(_normalised(rule.prefix), _normalised(url))]
    return max(found, key=lambda rule: len(_normalised(rule.prefix)), default=None)


def options_of(rule: StoreAccess, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of fsspec for a rule. Raises `InvalidInput` if its Secret lacks a key."""
    scheme = rule.prefix.partition("://")[0]
    secret = _secret(rule, environment)
    if scheme in _S3:
        options = _s3(rule, secret)
    elif scheme in _GOOGLE:
        options = {"endpoint_url": rule.endpoint_url, "token": "anon" if rule.anonymous else _google_key(rule, secret)}
    else:
        found = {name: next((secret[key] for key in keys if key in secret), None) for name, keys in _AZURE.items()}
        options = {"anon": rule.anonymous or None, **found}
    options = {name: value for name, value in options.items() if value}
    if rule.secret_name and not set(options) - {"endpoint_url", "client_kwargs", "requester_pays"}:
        raise _lacking(rule, "credentials of the store")
    return options


def _covers(prefix: str, url: str) -> bool:
    return url.startswith(prefix) and (prefix.endswith("/") or url[len(prefix) :][:1] in ("", "/", "@"))


def _normalised(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{_ALIASES.get(scheme, scheme)}://{rest}"


def _secret(rule: StoreAccess, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of the rule's Secret that have a value."""
    if not rule.secret_name:
        return {}
    prefix = secret_prefix(rule.secret_name)
    return {name.removeprefix(prefix): value for name, value in environment.items() if name.startswith(prefix) and value}


def _s3(rule: StoreAccess, secret: Mapping[str, str]) -> dict[str, Any]:
    key, password = secret.get("AWS_ACCESS_KEY_ID"), secret.get("AWS_SECRET_ACCESS_KEY")
    if rule.secret_name and not (key and password):
        raise _lacking(rule, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    region = rule.region or secret.get("AWS_REGION") or secret.get("AWS_DEFAULT_REGION")
    return {
        "anon": rule.anonymous,
        "requester_pays": rule.requester_pays,
        "endpoint_url": rule.endpoint_url or secret.get("AWS_ENDPOINT_URL_S3") or secret.get("AWS_ENDPOINT_URL"),
        "client_kwargs": {"region_name": region} if region else None,
        "key": key,
        "secret": password,
        "token": secret.get("AWS_SESSION_TOKEN"),
    }


def _google_key(rule: StoreAccess, secret: Mapping[str, str]) -> dict[str, Any] | None:
    if not rule.secret_name:
        return None
    try:
        return decoding.from_json(secret.get("GOOGLE_SERVICE_ACCOUNT_KEY", "").encode(), dict[str, Any])
    except msgspec.DecodeError as error:
        raise _lacking(rule, "a service account's key in JSON as GOOGLE_SERVICE_ACCOUNT_KEY") from error


def _lacking(rule: StoreAccess, what: str) -> InvalidInput:
    assert rule.secret_name is not None
    return InvalidInput(
        f"spec.stores: expected {what} in the Secret {rule.secret_name!r} of the prefix {rule.prefix!r} "
        f"(on a laptop in variables that start with {secret_prefix(rule.secret_name)})"
    )
