"""Commands that write nothing: they check, plan and print."""

from __future__ import annotations

import argparse
import json
import posixpath
import sys
from typing import Any

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import Plan, Report, decode
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.commands import manifest_file, output, reach


def plan(options: argparse.Namespace) -> int:
    from negset_jobs.selection.stage import plan_stage

    dataset = manifest_file.read(options.file)
    access = reach.of_dataset(reach.access(options), dataset.spec)
    with address_guard.enforced(access):
        value = plan_stage(dataset, access)
    if options.json:
        output.result(json.dumps(_plan_as_json(value)))
    else:
        from negset_jobs.selection.text import describe

        output.result(describe(value))
    return 0


def validate(options: argparse.Namespace) -> int:
    dataset = manifest_file.read(options.file)
    output.result(f"{dataset.metadata.namespace}/{dataset.metadata.name} is valid")
    return 0


def crd(_options: argparse.Namespace) -> int:
    import yaml

    from negset_api.schema import custom_resource_definition

    output.result(yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True).rstrip("\n"))
    return 0


def report(options: argparse.Namespace) -> int:
    root = options.url.rstrip("/")
    for suffix in (names.REPORT_PAGE, names.REPORT, posixpath.dirname(names.REPORT)):
        root = root.removesuffix(suffix).rstrip("/") if root.endswith(suffix) else root
    store = Store(root or ".")
    try:
        data = store.read(names.REPORT)
    except MissingObject as error:
        raise InvalidInput(f"URL: expected the folder of a finished revision, {store.location(names.REPORT)} does not exist") from error
    if options.json:
        sys.stdout.buffer.write(data)
        return 0
    from negset_jobs.reporting.text import describe

    output.result(describe(decode(data, Report)))
    return 0


def _plan_as_json(value: Plan) -> dict[str, Any]:
    """Return the documented fields of `negset plan --json`."""
    return {
        "imageIds": list(value.image_ids),
        "candidates": value.candidates,
        "planned": value.planned,
        "bytesEstimate": value.bytes_estimate,
        "licenses": msgspec.to_builtins(value.licenses),
        "remainingClasses": value.remaining_classes,
        "rejected": value.rejected,
        "excludedClasses": list(value.excluded_classes),
        "proofs": value.proofs,
        "unplaced": value.unplaced,
    }
