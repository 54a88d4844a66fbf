"""What an error of the API server means.

If the status code is not enough, the message is searched.
"""

from __future__ import annotations

from typing import Final

from negset_operator.kube.client import CONFLICT, FORBIDDEN, NOT_FOUND, UNPROCESSABLE, ApiError, Unreachable

# apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go
_NAMESPACE_TERMINATING: Final = "because it is being terminated"
# structured-merge-diff/typed/validate.go. A merge patch skips such a field.
_UNKNOWN_FIELD: Final = "field not declared in schema"


def conflict(error: ApiError | Unreachable) -> bool:
    """Return True if another client has written the object since it was read.

    The caller reads the object again and retries.
    """
    return isinstance(error, ApiError) and error.status == CONFLICT


def gone(error: ApiError) -> bool:
    """Return True if an object was deleted, even if another has its name now.

    Another uid is a conflict in a deletion, and invalid in a patch.
    """
    other_uid = error.status == UNPROCESSABLE and "metadata.uid: Invalid value" in error.message
    return other_uid or error.status in {NOT_FOUND, CONFLICT}


def needs_merge_patch(error: ApiError) -> bool:
    """Return True if an apply of a status is refused that a merge patch can write.

    Either the CRD is older and lacks a field, or the apply would leave a part of a condition that a
    merge patch wrote.
    """
    return error.status == UNPROCESSABLE or _UNKNOWN_FIELD in error.message


def namespace_terminating(error: ApiError) -> bool:
    """Return True if an object cannot be created because its namespace is being deleted."""
    return error.status == FORBIDDEN and _NAMESPACE_TERMINATING in error.message


def by_policy(error: ApiError) -> bool:
    """Return True if a 403 is from quota or admission, not from missing rights of the operator.

    The message about missing rights is: User "…" cannot create resource ….
    """
    message = error.message
    policy = "cannot" not in message or "exceeded quota" in message or "admission" in message or "violates" in message
    return error.status == FORBIDDEN and policy
