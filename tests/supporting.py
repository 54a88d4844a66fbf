"""The supporting objects of a dataset, as the operator builds them."""

from __future__ import annotations

from negset_operator.manifests.subject import Object, Subject
from negset_operator.manifests.supporting_objects import before_pods, before_reports


def every_supporting_object(subject: Subject) -> tuple[Object, ...]:
    """Return what the pods need, and then what reports need."""
    return (*before_pods(subject), *before_reports(subject))
