"""The manifest that a command works on."""

from __future__ import annotations

import sys
from typing import Any

from negset_api import names, validation
from negset_api.errors import InvalidInput, InvalidSpec
from negset_api.spec import NegativeDataset
from negset_api.version import version
from negset_jobs.adapters.quoting import of_yaml


def read(path: str) -> NegativeDataset:
    """The dataset of a manifest that a person wrote: a field that is unknown is a mistake."""
    return validation.parse(document(path))


def admitted(document: Any) -> NegativeDataset:
    """The dataset of a manifest that the operator wrote.

    It may be newer than these jobs: a field that is unknown is skipped.
    """
    try:
        return validation.parse_admitted(document)
    except InvalidSpec as error:
        problems = "; ".join(map(str, error.problems))
        raise InvalidInput(f"{problems} (negset {version()} does not understand this manifest; use jobs of the CRD's version)") from error


def document(path: str) -> Any:
    import yaml

    if path == "-":
        text = sys.stdin.read()
    else:
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"FILE: cannot read {path!r}: {getattr(error, 'strerror', None) or 'expected UTF-8 text'}") from error
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInput(f"FILE: expected YAML in {path!r}, found something else at {of_yaml(error)}") from error
    if len(documents) != 1:
        raise InvalidInput(f"FILE: expected one {names.KIND} in {path!r}, got {len(documents)} documents")
    if not isinstance(documents[0], dict):
        raise InvalidInput(
            f"FILE: expected one {names.KIND} in {path!r}, with the keys apiVersion, kind, metadata and spec; found something else"
        )
    return documents[0]
