"""What an error of the API server means.

Where the status code does not say it, its message is searched.
"""

from __future__ import annotations

from typing import Final

from negset_operator.kube.client import CONFLICT, FORBIDDEN, NOT_FOUND, UNPROCESSABLE, ApiError, Unreachable

# apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go
_NAMESPACE_ENDS: Final = "because it is being terminated"
# structured-merge-diff/typed/validate.go. In a merge patch, such a field is skipped.
_UNKNOWN_FIELD: Final = "field not declared in schema"


def conflict(error: ApiError | Unreachable) -> bool:
    """Whether somebody else has written the object since it was read.

    What they wrote is read, and the same is tried again.
    """
    return isinstance(error, ApiError) and error.status == CONFLICT


def gone(error: ApiError) -> bool:
    """Whether an object is gone, or another has its name now: another uid is a conflict in a
    deletion, and invalid in a patch.
    """
    another = error.status == UNPROCESSABLE and "metadata.uid: Invalid value" in error.message
    return another or error.status in {NOT_FOUND, CONFLICT}


def needs_merge_patch(error: ApiError) -> bool:
    """Whether an apply of a status is refused that a merge patch can write.

    The CRD is older and lacks a field, or the apply would leave half of a condition that a merge
    patch wrote.
    """
    return error.status == UNPROCESSABLE or _UNKNOWN_FIELD in error.message


def namespace_ends(error: ApiError) -> bool:
    """Whether something cannot be made because its namespace is being deleted."""
    return error.status == FORBIDDEN and _NAMESPACE_ENDS in error.message


def by_policy(error: ApiError) -> bool:
    """Whether a 403 comes from quota or admission, not from the operator's own missing rights
    (those read: User "…" cannot create resource …).
    """
    message = error.message
    policy = "cannot" not in message or "exceeded quota" in message or "admission" in message or "violates" in message
    return error.status == FORBIDDEN and policy
