"""Options of S3, from fsspec's configuration, the AWS variables and AWS's files.

They are read in the order of boto: options, variables, profile, then the services that give a
container, a Kubernetes pod or an instance its credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from negset_api.errors import InvalidInput
from negset_jobs.adapters.aws_profiles import Profile, botocore_credentials, read_profile
from negset_jobs.adapters.store_options import Given, StoreOptions, kept, on

_INSTANCE: Final = "169.254.169.254"
_TOKENS: Final = ("AWS_SESSION_TOKEN", "AWS_TOKEN")  # the second one is obstore's own
_CONTAINER: Final = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


def s3_options(options: Mapping[str, Any], environment: Mapping[str, str], *, programs: bool = True) -> StoreOptions:
    """Return how to connect to S3. Raises `InvalidInput` for what cannot be used.

    `programs` tells whether AWS's files may name a program that gives keys.
    """
    given = Given("s3", options)
    inner = given.within("client_kwargs")
    details = given.within("config_kwargs")
    encryption = given.within("s3_additional_kwargs")
    keys = {
        "access_key_id": given.text("key", "username") or inner.text("aws_access_key_id"),
        "secret_access_key": given.text("secret", "password") or inner.text("aws_secret_access_key"),
        "session_token": given.text("token") or inner.text("aws_session_token"),
    }
    chosen = given.text("profile")
    profile = read_profile(environment, chosen)
    if profile.programs and not programs:
        raise InvalidInput("s3: expected AWS's files without credential_process; programs give no keys on a cluster")
    endpoint = given.text("endpoint_url") or inner.text("endpoint_url") or _endpoint(environment, profile)
    style = details.within("s3").text("addressing_style") or "auto"
    anonymous = given.flag("anon") or on(environment.get("AWS_SKIP_SIGNATURE", "")) or details.text("signature_version") == "unsigned"
    config: dict[str, str | bool] = {
        "region": inner.text("region_name") or details.text("region_name") or _region(environment, profile),
        "request_payer": given.flag("requester_pays"),
        "server_side_encryption": encryption.text("ServerSideEncryption"),
        "sse_kms_key_id": encryption.text("SSEKMSKeyId"),
        "virtual_hosted_style_request": style == "virtual",
        "skip_signature": anonymous,
    }
    client = {
        "connect_timeout": _seconds(details.text("connect_timeout")),
        "timeout": _seconds(details.text("read_timeout")),
        "allow_invalid_certificates": inner.value("verify") is False or "",
    }
    _check_certificates(inner, profile, environment)
    attempts = given_attempts(details, environment)
    for options_taken, ignored in (
        (given, ("use_ssl", "retries")),
        (inner, ("use_ssl",)),
        (details, ("max_pool_connections", "tcp_keepalive", "user_agent", "user_agent_extra")),
        (encryption, ()),
    ):
        options_taken.finish(*ignored)
    # As in boto, a profile that an option names is stronger than the variables.
    variables = {} if chosen else environment
    found, credentials, instance = ({}, None, "") if anonymous else _credentials(keys, profile, variables)
    if found and not found.get("session_token") and any(environment.get(name) for name in _TOKENS):
        found, credentials = {}, _fixed(found)  # else obstore would add the token of the variables
    return StoreOptions(
        config=kept({**config, **found}),
        client=kept(client),
        retry={"max_retries": attempts} if attempts is not None else {},
        endpoint=endpoint,
        credentials=credentials,
        instance=instance,
        bucket_in_host=bool(endpoint) and style == "virtual",
    )


def given_attempts(details: Given, environment: Mapping[str, str]) -> int | None:
    """Return the number of retries that botocore's settings ask for; None if there are none."""
    retries = details.within("retries")
    most, total = retries.text("max_attempts"), retries.text("total_max_attempts") or environment.get("AWS_MAX_ATTEMPTS", "")
    if most and not most.isdigit():
        raise InvalidInput("s3: expected a whole number as max_attempts of fsspec's configuration")
    if most or not total:
        return int(most) if most else None
    if not total.isdigit() or int(total) < 1:
        raise InvalidInput("AWS_MAX_ATTEMPTS: expected a whole number from 1")
    return int(total) - 1


def _check_certificates(inner: Given, profile: Profile, environment: Mapping[str, str]) -> None:
    """Raise `InvalidInput` for a file of certificates that would not be used."""
    own = inner.value("verify") not in (None, True, False) or environment.get("AWS_CA_BUNDLE") or profile.settings.get("ca_bundle")
    if own and not environment.get("SSL_CERT_FILE"):
        raise InvalidInput("s3: the certificates of AWS_CA_BUNDLE are not used; set SSL_CERT_FILE to the same file")


def _endpoint(environment: Mapping[str, str], profile: Profile) -> str:
    if on(environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")):
        return ""
    return environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or profile.endpoint


def _region(environment: Mapping[str, str], profile: Profile) -> str:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or profile.settings.get("region", "")


def _credentials(keys: dict[str, str], profile: Profile, environment: Mapping[str, str]) -> tuple[dict[str, str], Any, str]:
    """Return keys, or a function that gets them, or the host that gives an instance its keys."""
    if not (keys["access_key_id"] or keys["secret_access_key"]):
        keys = {name: environment.get(f"AWS_{name.upper()}", "") for name in keys}
    if not (keys["access_key_id"] or keys["secret_access_key"]):
        if profile.indirect:
            return {}, botocore_credentials(profile), ""
        if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environment.get("AWS_ROLE_ARN"):
            return {}, None, ""
        keys = {name: profile.settings.get(f"aws_{name}", "") for name in keys}
    if not (keys["access_key_id"] or keys["secret_access_key"]):
        return {}, None, _service(environment)
    if not (keys["access_key_id"] and keys["secret_access_key"]):
        raise InvalidInput(
            "s3: expected both an access key and a secret key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), got one of them"
        )
    return keys, None, ""


def _service(environment: Mapping[str, str]) -> str:
    """Return the host of the instance's metadata service; empty for a container's service."""
    if any(environment.get(name) for name in _CONTAINER):
        return ""
    return "none" if on(environment.get("AWS_EC2_METADATA_DISABLED", "")) else _INSTANCE


def _fixed(keys: dict[str, str]) -> Callable[[], dict[str, Any]]:
    """Return a function that returns keys that do not expire."""

    def credentials() -> dict[str, Any]:
        return {"access_key_id": keys["access_key_id"], "secret_access_key": keys["secret_access_key"], "expires_at": None}

    return credentials


def _seconds(text: str) -> str:
    try:
        return f"{round(float(text) * 1000)}ms" if text else ""
    except (ValueError, OverflowError) as error:
        raise InvalidInput("s3: expected seconds as connect_timeout and read_timeout of fsspec's configuration") from error
