"""Options of Azure Blob Storage, from fsspec's configuration and the Azure variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from negset_api.errors import InvalidInput
from negset_jobs.adapters.store_options import Given, StoreOptions, kept, on

_INSTANCE: Final = "169.254.169.254"
_DEVELOPMENT: Final = "UseDevelopmentStorage"
_VARIABLES: Final = {
    # The first that is set counts. AZURE_STORAGE_ACCOUNT and _KEY are of Azure's command line.
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY"),
    "sas_key": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
    "client_id": ("AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID"),
    "client_secret": ("AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET"),
    "tenant_id": ("AZURE_STORAGE_TENANT_ID", "AZURE_TENANT_ID"),
    "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE",),
    "token": ("AZURE_STORAGE_TOKEN",),
}


def azure_options(options: Mapping[str, Any], environment: Mapping[str, str]) -> StoreOptions:
    """Return how to connect to Azure. Raises `InvalidInput` for what cannot be used."""
    given = Given("abfs", options)
    connection = _connection_string(given.text("connection_string") or environment.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    own = {
        "account_name": given.text("account_name"),
        "account_key": given.text("account_key"),
        "sas_key": given.text("sas_token"),
        "client_id": given.text("client_id"),
        "client_secret": given.text("client_secret"),
        "tenant_id": given.text("tenant_id"),
    }
    host = given.text("account_host")
    anonymous = given.flag("anon") or on(environment.get("AZURE_STORAGE_ANON", "")) or on(environment.get("AZURE_SKIP_SIGNATURE", ""))
    given.finish("socket_timeout", "connection_timeout", "read_timeout", "location_mode", "request_session")
    variables = {name: next((environment[each] for each in known if environment.get(each)), "") for name, known in _VARIABLES.items()}
    config = kept(variables) | kept(connection) | kept(own)
    endpoint = f"https://{host}" if host else config.pop("endpoint", "") or _endpoint(environment)
    if "account_name" not in config:
        raise InvalidInput(
            "abfs: expected the name of a storage account, in AZURE_STORAGE_ACCOUNT_NAME or in the URL "
            "(abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER)"
        )
    if anonymous:
        return StoreOptions(config={"account_name": config["account_name"], "skip_signature": "true"}, endpoint=endpoint)
    return StoreOptions(config=config, endpoint=endpoint, instance="" if _has_credentials(config, environment) else _INSTANCE)


def _has_credentials(config: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    if any(name in config for name in ("account_key", "sas_key", "token")) or on(environment.get("AZURE_USE_AZURE_CLI", "")):
        return True
    if any(environment.get(name) for name in ("IDENTITY_ENDPOINT", "AZURE_IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT")):
        return True
    proof = "client_secret" in config or "federated_token_file" in config
    return proof and "client_id" in config and "tenant_id" in config


def _endpoint(environment: Mapping[str, str]) -> str:
    return environment.get("AZURE_STORAGE_ENDPOINT") or environment.get("AZURE_ENDPOINT", "")


def _connection_string(text: str) -> dict[str, str]:
    """Return the settings of a connection string. Raises `InvalidInput` without quoting it."""
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part.strip())
    if not parts:
        return {}
    if on(parts.get(_DEVELOPMENT, "")):
        raise InvalidInput(f"abfs: cannot use {_DEVELOPMENT} in a connection string; write its AccountName, AccountKey and BlobEndpoint")
    if "AccountName" not in parts and "BlobEndpoint" not in parts:
        raise InvalidInput("abfs: expected AccountName or BlobEndpoint in the connection string")
    name = parts.get("AccountName", "")
    suffix = parts.get("EndpointSuffix", "core.windows.net")
    default = f"{parts.get('DefaultEndpointsProtocol', 'https')}://{name}.blob.{suffix}" if name else ""
    endpoint = parts.get("BlobEndpoint", default).rstrip("/")
    return {
        "account_name": name or endpoint.partition("://")[2].partition(".")[0],
        "account_key": parts.get("AccountKey", ""),
        "sas_key": parts.get("SharedAccessSignature", ""),
        "endpoint": endpoint,
    }
