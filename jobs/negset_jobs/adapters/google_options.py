"""Options of Google Cloud Storage, from fsspec's configuration and the Google variables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

from negset_api.errors import CannotRunHere, InvalidInput
from negset_jobs.adapters.store_options import Given, StoreOptions, kept, on

_METADATA: Final = "metadata.google.internal"
_WELL_KNOWN: Final = "~/.config/gcloud/application_default_credentials.json"
_OBSTORES: Final = frozenset({"service_account", "authorized_user"})
_BY_GOOGLE_AUTH: Final = frozenset(
    {"external_account", "external_account_authorized_user", "impersonated_service_account", "gdch_service_account"}
)
_DEFAULT_TOKENS: Final = frozenset({"", "google_default", "cloud", "cache", "browser"})
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"


def google_options(options: Mapping[str, Any], environment: Mapping[str, str]) -> StoreOptions:
    """Return how to connect. Raises `InvalidInput` for what cannot be used."""
    given = Given("gs", options)
    named = given.value("token") or ""
    endpoint = given.text("endpoint_url") or environment.get("GOOGLE_BASE_URL") or _emulator(environment)
    given.finish()
    if named == "anon" or on(environment.get("GOOGLE_SKIP_SIGNATURE", "")):
        # Without a key file obstore looks for one, although it signs nothing.
        return StoreOptions(config={"skip_signature": "true"}, endpoint=endpoint, credentials=_nothing)
    if isinstance(named, Mapping):
        return StoreOptions(config={"service_account_key": json.dumps(dict(named))}, endpoint=endpoint)
    if any(environment.get(name) for name in ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY")):
        return StoreOptions(endpoint=endpoint)
    path = str(named) if named not in _DEFAULT_TOKENS else environment.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    kind = _kind(path or os.path.expanduser(_WELL_KNOWN), named=bool(path))
    if not kind:
        return StoreOptions(endpoint=endpoint, instance=environment.get("GCE_METADATA_HOST", _METADATA))
    if kind not in _OBSTORES | _BY_GOOGLE_AUTH:
        known = ", ".join(sorted(_OBSTORES | _BY_GOOGLE_AUTH))
        raise InvalidInput(f"gs: cannot use the credentials file {path[:200]!r}: expected the type {known}")
    if kind not in _OBSTORES:
        return StoreOptions(endpoint=endpoint, credentials=_google_auth(kind, path))
    return StoreOptions(config=kept({"application_credentials": path}), endpoint=endpoint)


def _emulator(environment: Mapping[str, str]) -> str:
    host = environment.get("STORAGE_EMULATOR_HOST", "")
    return host if not host or "://" in host else f"http://{host}"


def _kind(path: str, *, named: bool) -> str:
    """Return the kind of a credentials file; empty if there is none that was not named."""
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file).get("type", "unknown"))
    except FileNotFoundError as error:
        if not named:
            return ""
        raise InvalidInput(f"gs: cannot find the credentials file {path[:200]!r} of GOOGLE_APPLICATION_CREDENTIALS") from error
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"gs: cannot read the credentials file {path[:200]!r}: expected a JSON object") from error


def _google_auth(kind: str, path: str) -> Callable[[], dict[str, Any]]:
    """Return a function that gets tokens by google-auth. Raises `CannotRunHere` without it."""
    try:
        import google.auth
        import google.auth.transport.requests
    except ImportError as error:
        raise CannotRunHere(
            f"gs: Google credentials of the kind {kind!r} need google-auth; install it with: pip install 'negset[google]'"
        ) from error
    scopes = [_SCOPE]
    found, _ = google.auth.load_credentials_from_file(path, scopes=scopes) if path else google.auth.default(scopes=scopes)

    def credentials() -> dict[str, Any]:
        found.refresh(google.auth.transport.requests.Request())
        expires_at = found.expiry  # in UTC, without its zone
        return {"token": found.token, "expires_at": expires_at and expires_at.replace(tzinfo=UTC)}

    return credentials


def _nothing() -> dict[str, Any]:
    return {"token": "", "expires_at": None}
