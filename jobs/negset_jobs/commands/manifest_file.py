"""Read the manifest of a command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from negset_api import names, validation
from negset_api.errors import InvalidInput, InvalidSpec
from negset_api.spec import NegativeDataset
from negset_api.version import version
from negset_jobs.adapters.quoting import of_yaml, quoted

if TYPE_CHECKING:
    import yaml


def read(path: str) -> NegativeDataset:
    """Return the dataset of a manifest that a person wrote. An unknown field is an error."""
    return validation.parse(document(path))


def admitted(document: Any) -> NegativeDataset:
    """Return the dataset of a manifest that the operator wrote. Unknown fields are ignored.

    The operator may be newer than these jobs.
    """
    try:
        return validation.parse_admitted(document)
    except InvalidSpec as error:
        problems = "; ".join(map(str, error.problems))
        raise InvalidInput(f"{problems} (negset {version()} cannot read this manifest; use a jobs image of the CRD's version)") from error


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
        documents = [document for document in yaml.load_all(text, _loader(path)) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInput(f"FILE: expected YAML in {path!r}, which is not valid: {of_yaml(error)}") from error
    if len(documents) != 1:
        raise InvalidInput(f"FILE: expected one {names.KIND} in {path!r}, got {len(documents)} documents")
    if not isinstance(documents[0], dict):
        raise InvalidInput(
            f"FILE: expected one {names.KIND} in {path!r} with the keys apiVersion, kind, metadata and spec; got a document that is not a mapping"
        )
    return documents[0]


def _loader(path: str) -> type[yaml.SafeLoader]:
    """Return a loader that refuses a key that is written twice, as `kubectl apply` does.

    PyYAML takes the last one: the classes of the first excludeClasses would not be excluded.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        # Before the mappings are merged that `<<` names: a merged key may be written again.
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise InvalidInput(
                        f"FILE: expected each key of a mapping once in {path!r}, got {quoted(key.value)} twice (line {key.start_mark.line + 1})"
                    )
                seen.add(key.value)
            return node

    return Loader
