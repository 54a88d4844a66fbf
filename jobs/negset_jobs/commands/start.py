"""The command that writes a manifest to start from."""

from __future__ import annotations

import argparse
import importlib.resources
import os
import re
import shlex
from typing import Final

from negset_api.errors import InvalidInput
from negset_api.spec import LONGEST_LABEL
from negset_jobs.commands import output

_NAME: Final = "street-background"
"""The name of the dataset in the template."""

_NOT_TEXT: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML 1.1 does not read as text. PyYAML does read two of them so, y and n."""


def init(options: argparse.Namespace) -> int:
    if options.file == "-":
        output.result(manifest(_NAME).rstrip("\n"))
        return 0
    try:
        with open(options.file, "x", encoding="utf-8") as stream:
            stream.write(manifest(name_for(options.file)))
    except FileExistsError as error:
        raise InvalidInput(f"FILE: expected the name of a new file, {options.file!r} exists; remove it or choose another name") from error
    except OSError as error:
        raise InvalidInput(f"FILE: cannot write {options.file!r}: {error.strerror}") from error
    output.say(f"edit {options.file}, then run: negset plan {shlex.quote(options.file)}")
    output.result(options.file)
    return 0


def manifest(name: str) -> str:
    """Return the manifest of a dataset with this name, as YAML with comments.

    The lines that begin with `#  ` are optional fields.
    """
    text = importlib.resources.files(__package__).joinpath("manifest.yaml").read_text(encoding="utf-8")
    return text.replace(f"name: {_NAME}\n", f"name: {_as_yaml(name)}\n")


def name_for(path: str) -> str:
    """Return the name of a dataset for the file's name: a DNS label."""
    stem = os.path.splitext(os.path.basename(path))[0].lower()
    label = re.sub(r"[^a-z0-9]+", "-", stem)[:LONGEST_LABEL].strip("-")
    return label or _NAME


def _as_yaml(label: str) -> str:
    """Return a DNS label as YAML reads it as text: in quotes if it may be a number or a word."""
    return label if label[0].isalpha() and label not in _NOT_TEXT else f'"{label}"'
