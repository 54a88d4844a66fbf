"""The profiles in AWS's files, as boto's users know them.

Keys are read here. A profile that gets its keys elsewhere (a role, single sign-on, a program) is
left to botocore, if it is installed.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from negset_api.errors import CannotRunHere, InvalidInput

_INDIRECT: Final = ("role_arn", "web_identity_token_file", "credential_process", "credential_source", "login_session")
_TTL: Final = timedelta(minutes=5)


class Profile(msgspec.Struct, frozen=True):
    """One profile: the settings of both files.

    `programs` tells whether any profile of these files names a program.
    """

    name: str = "default"
    settings: dict[str, str] = {}
    endpoint: str = ""
    programs: bool = False

    @property
    def indirect(self) -> bool:
        return any(name in _INDIRECT or name.startswith("sso_") for name in self.settings)


def read_profile(environment: Mapping[str, str], name: str = "") -> Profile:
    """Read a profile: `name`, or that of AWS_PROFILE, or the default one.

    Raises `InvalidInput` if a profile that was named does not exist, or a file cannot be parsed.
    """
    asked = name or environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE", "")
    name = asked or "default"
    secrets = _sections(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = _sections(environment.get("AWS_CONFIG_FILE") or "~/.aws/config")
    section = config.get("default" if name == "default" else f"profile {name}")
    if asked and section is None and name not in secrets:
        raise InvalidInput(f"cannot find the profile {asked[:60]!r} of AWS_PROFILE in AWS's credentials and config files")
    settings = {**(section or {}), **secrets.get(name, {})}
    services = config.get(f"services {settings.get('services', '')}", {})
    endpoint = _nested(services.get("s3", "")).get("endpoint_url") or settings.get("endpoint_url", "")
    return Profile(name, settings, endpoint, any("credential_process" in each for each in (*config.values(), *secrets.values())))


def botocore_credentials(profile: Profile) -> Callable[[], dict[str, Any]]:
    """Return a function that asks botocore for a profile's credentials.

    Raises `CannotRunHere` if botocore is not installed, and `InvalidInput` if it finds none.
    """
    try:
        import botocore.session
    except ImportError as error:
        raise CannotRunHere(
            f"the AWS profile {profile.name[:60]!r} gets its keys by a role, single sign-on or a program, which needs botocore; "
            "install it with: pip install 'negset[aws]'"
        ) from error
    found = botocore.session.Session(profile=profile.name).get_credentials()
    if found is None:
        raise InvalidInput(
            f"botocore finds no credentials for the AWS profile {profile.name[:60]!r}; check it with: aws sts get-caller-identity"
        )

    def credentials() -> dict[str, Any]:
        frozen = found.get_frozen_credentials()  # renews them before they expire
        expires_at = datetime.now(UTC) + _TTL
        return {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key, "token": frozen.token, "expires_at": expires_at}

    return credentials


def _sections(path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, configparser.Error) as error:
        raise InvalidInput(f"cannot read AWS's file {path}: {type(error).__name__}") from error
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _nested(text: str) -> dict[str, str]:
    """Return the settings of a nested section, which configparser keeps as one text."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs if value}
