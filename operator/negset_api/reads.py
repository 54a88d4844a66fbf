"""Which fields of the spec each step reads, and their digest: an edit stops only changed steps.

A step's digest covers the fields that the step reads itself. It also covers the fields that earlier
steps read and that are part of the revision, because these change the step's inputs. Fields with
their default value are left out. So a negset with more fields computes the same digest for an older
spec.

The digest starts with the version of this formula. A negset with another formula has a higher
version. Such an upgrade stops no child, because the digests are compared only after an edit of the
spec. The operator that sees the edit compares them, and writes the new generation on the children
that continue. Until the next edit, the generation decides.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

from negset_api import stages
from negset_api.revision import chosen, decides_bytes
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

VERSION: Final = "1"

_EVERY_STEP: Final = frozenset({"output.url", "output.secretName", "queueName", "stores"})

# Paths of fields, or of groups with all their fields. A new field of a group belongs to each step
# that reads the group, unless `_BUT_NOT` excludes it. So an edit of it restarts too many steps
# rather than too few.
_READS: Final[dict[stages.Kind, frozenset[str]]] = {
    "check": frozenset({"excludeClasses", "positives.classes", "training"}),
    "data": frozenset(
        {
            "source",
            "excludeClasses",
            "selection",
            "download",
            "output",
            "positives",
            "ray",
            "training.heldOutPercent",
            "training.hardNegativeMining.rounds",
            "training.hardNegativeMining.firstRoundPercent",
        }
    ),
    "train": frozenset({"training", "download.maxFailedPercent"}),
    "mine": frozenset(
        {"selection.seed", "ray", "training.comparisons", "training.workers", "training.gpuResourceName", "training.hardNegativeMining"}
    ),
}

STOP_NOTHING: Final = frozenset({"training.maxParallel", "output.revisionHistoryLimit"})
"""Fields that no step reads. An edit of them stops no step."""

_MINING_ONLY: Final = frozenset(
    {
        "training.comparisons",
        "training.hardNegativeMining.gpusPerWorker",
        "training.hardNegativeMining.hardPercent",
        "training.hardNegativeMining.reviewAbovePercent",
        "training.hardNegativeMining.confirmedNegatives",
    }
)
_BUT_NOT: Final[dict[stages.Kind, frozenset[str]]] = {
    "check": _MINING_ONLY
    | {
        "training.seed",
        "training.heldOutPercent",
        "training.recallPercent",
        "training.checkpointEverySteps",
        "training.gpuResourceName",
        "training.hardNegativeMining.firstRoundPercent",
    },
    "train": _MINING_ONLY,
}


def reads(kind: stages.Kind, path: str) -> bool:
    """Return True if a step of this kind reads the field at this path."""
    wanted = _EVERY_STEP | _READS[kind]
    return _under(path, wanted) and not _under(path, STOP_NOTHING | _BUT_NOT.get(kind, frozenset()))


def digests(spec: NegativeDatasetSpec, pipeline: str = "") -> dict[str, str]:
    """Return the digest of each step of a spec, by the step's role.

    A digest is the formula's version, a hyphen and 12 hexadecimal digits. `pipeline` is as in
    `revision.chosen`.
    """
    fields = dict(_leaves(chosen(spec, but=frozenset(), pipeline=pipeline), ""))
    steps = {step.role: step for step in stages.steps(spec)}

    @functools.cache  # most rounds read the same fields
    def of(kind: stages.Kind, before: frozenset[stages.Kind]) -> str:
        used = {path: value for path, value in fields.items() if _uses(kind, before, path)}
        return f"{VERSION}-{digest(spec.training is not None, used)[:12]}"

    # The kinds of the earlier steps whose files are inputs of a step.
    before: dict[str, frozenset[stages.Kind]] = {}
    for role, step in steps.items():
        needs = [steps[need] for need in step.needs]
        before[role] = frozenset(need.kind for need in needs if need.marker).union(*(before[need.role] for need in needs))
    return {role: of(step.kind, before[role]) for role, step in steps.items()}


def _uses(kind: stages.Kind, before: frozenset[stages.Kind], path: str) -> bool:
    return reads(kind, path) or (decides_bytes(path) and any(reads(each, path) for each in before))


def _under(path: str, groups: frozenset[str]) -> bool:
    return any(path == group or path.startswith(f"{group}.") for group in groups)


def _leaves(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, content in value.items():
        path = f"{prefix}{name}"
        if isinstance(content, dict):
            yield from _leaves(content, f"{path}.")
        else:
            yield path, content
