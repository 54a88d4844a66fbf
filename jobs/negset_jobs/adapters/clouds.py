"""The clouds that obstore connects to, by the schemes of their URLs."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from obstore.store import AzureStore, GCSStore, S3Store

from negset_jobs.adapters import address_guard, s3_listing, web
from negset_jobs.adapters.azure_options import azure_options
from negset_jobs.adapters.google_options import google_options
from negset_jobs.adapters.object_store import ObjectStore
from negset_jobs.adapters.object_store_errors import CannotUse
from negset_jobs.adapters.s3_options import s3_options
from negset_jobs.adapters.store_options import StoreOptions

_LOOKUP_SECONDS: Final = 5
_PROGRAMS: Final = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"
"""With it, google-auth runs a program that a credentials file names."""
_PREFIXES: Final = ("AWS_", "AZURE_", "GOOGLE_")
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class S3(ObjectStore):
    """S3, and what speaks its protocol."""

    protocol = ("s3", "s3a")
    store = S3Store

    def connection(self, options: dict[str, Any]) -> StoreOptions:
        return s3_options(options, _environment(), programs=not _on_cluster())

    def located(self, bucket: str) -> dict[str, str]:
        given = self._given
        if given.endpoint:
            scheme, separator, host = given.endpoint.partition("://")
            return {"aws_endpoint_url_s3": f"{scheme}{separator}{bucket}.{host}" if given.bucket_in_host else given.endpoint}
        region = given.config.get("region") or _region_of(bucket)
        if not any(os.environ.get(name) for name in _ENDPOINTS):
            return {"region": region}
        # obstore would use a variable that does not count, as AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
        # says.
        host = f"{bucket}.s3" if "virtual_hosted_style_request" in given.config else "s3"
        return {"region": region, "aws_endpoint_url_s3": f"https://{host}.{region}.amazonaws.com"}

    def split_at_empty_part(self, bucket: str, key: str) -> tuple[str, str]:
        """Return a bucket with the folders up to the empty part, and the rest of the key.

        obstore appends a key to its bucket, and refuses empty parts only in the key.
        """
        if self._in_host:
            raise CannotUse("a key has an empty part between its slashes, and the bucket is a part of the host's name")
        folders, _, rest = f"/{key}".rpartition("//")
        return f"{bucket}{quote(folders)}/", rest

    async def list_with_empty_parts(self, bucket: str, prefix: str, *, delimiter: str = "") -> dict[str, list[Any]]:
        return await s3_listing.listed(self._place(bucket), prefix, delimiter=delimiter)

    @property
    def _in_host(self) -> bool:
        return self._given.bucket_in_host or "virtual_hosted_style_request" in self._given.config

    def _place(self, bucket: str) -> s3_listing.Place:
        """Return where a bucket is and how to sign. Raises `CannotUse`."""
        config = {**self.located(bucket), **self._given.config}
        region = config.get("region", "us-east-1")
        endpoint = config.get("aws_endpoint_url_s3") or f"https://s3.{region}.amazonaws.com"
        url = f"{endpoint.rstrip('/')}/" if self._in_host else f"{endpoint.rstrip('/')}/{bucket}"
        payer = "request_payer" in config
        if "skip_signature" in config:
            return s3_listing.Place(url, region, requester_pays=payer)
        keys = self._given.credentials() if self._given.credentials else config
        if not keys.get("access_key_id"):
            raise CannotUse("a key has an empty part between its slashes, and its bucket can be listed only with an access key")
        return s3_listing.Place(
            url, region, keys["access_key_id"], keys["secret_access_key"], keys.get("token") or keys.get("session_token", ""), payer
        )


class Google(ObjectStore):
    """Google Cloud Storage."""

    protocol = ("gs", "gcs")
    store = GCSStore

    def connection(self, options: dict[str, Any]) -> StoreOptions:
        if _on_cluster():
            os.environ.pop(_PROGRAMS, None)
        return google_options(options, _environment())

    def located(self, bucket: str) -> dict[str, str]:  # noqa: ARG002
        return {"base_url": self._given.endpoint} if self._given.endpoint else {}


class Azure(ObjectStore):
    """Azure Blob Storage. The URL may name the account: abfs://CONTAINER@ACCOUNT.HOST/PATH."""

    protocol = ("abfs", "abfss", "az")
    store = AzureStore

    def connection(self, options: dict[str, Any]) -> StoreOptions:
        return azure_options(options, _environment())

    def located(self, bucket: str) -> dict[str, str]:  # noqa: ARG002
        return {"endpoint": self._given.endpoint} if self._given.endpoint else {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        stripped = str(super()._strip_protocol(path))
        authority, slash, rest = stripped.partition("/")
        return f"{authority.partition('@')[0]}{slash}{rest}"

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        host = path.partition("://")[2].partition("/")[0].partition("@")[2]
        if not host:
            return {}
        account, _, domain = host.partition(".")
        options = {"account_name": account}
        return (
            options if not domain or domain.endswith("core.windows.net") else {**options, "account_host": host.replace(".dfs.", ".blob.")}
        )


CLOUDS: Final[dict[str, type[ObjectStore]]] = {scheme: cloud for cloud in (S3, Google, Azure) for scheme in cloud.protocol}


def _on_cluster() -> bool:
    """Return True if a tenant must not run programs: the guard does not see their connections."""
    access = address_guard.access_of_process()
    return access is not None and not access.local_files


def _environment() -> Mapping[str, str]:
    """Return the variables, without empty ones, which obstore would take for keys and endpoints."""
    for name in list(os.environ):  # other threads may do the same
        if name.startswith(_PREFIXES) and not os.environ.get(name):
            os.environ.pop(name, None)
    return os.environ


def _region_of(bucket: str) -> str:
    """Return the region of a bucket of AWS, which anyone may ask for."""
    request = urllib.request.Request(f"https://s3.amazonaws.com/{quote(bucket)}", method="HEAD")
    try:
        with web.opener() as client, client.open(request, timeout=_LOOKUP_SECONDS) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except OSError:
        return "us-east-1"
    return str(headers.get("x-amz-bucket-region") or "us-east-1")
