"""Condition types and reasons.

They are part of the interface: users' alerts and health checks depend on them.
"""

from __future__ import annotations

from typing import Final

# --- Condition types -----------------------------------------------------------------------------
READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
CHECKED: Final = "Checked"
DATA_STORED: Final = "DataStored"
TRAINED: Final = "Trained"
MINED: Final = "Mined"
REPORTED: Final = "Reported"

CONDITION_TYPES: Final = (READY, RECONCILING, STALLED, CHECKED, DATA_STORED, TRAINED, MINED, REPORTED)
"""Every type that the operator writes, in the order in which people read them.

The operator does not touch conditions of other types.
"""

# --- Reasons: as expected ------------------------------------------------------------------------
SUCCEEDED: Final = "Succeeded"
PENDING: Final = "Pending"  # earlier steps, or spec.training.maxParallel others, come first
STARTING: Final = "Starting"
RUNNING: Final = "Running"
QUEUED: Final = "Queued"  # Kueue has not admitted it yet
SUSPENDED: Final = "Suspended"
SUSPENDING: Final = "Suspending"
REPLACING: Final = "Replacing"  # children are being stopped, for a new spec or to be built again
DELETING_DATA: Final = "DeletingData"
# Only of an event: the object was deleted, and data of it was left.
DATA_LEFT: Final = "DataLeft"

# --- Reasons: the operator retries, and writes a warning -----------------------------------------
RETRYING: Final = "Retrying"
NOT_APPLIED: Final = "NotApplied"  # a request to the API server failed
CHILD_REFUSED: Final = "ChildRefused"  # by quota, admission or validation
KUBERAY_MISSING: Final = "KubeRayMissing"
NAMESPACE_ENDING: Final = "NamespaceEnding"  # nothing can be created in it any more
NODE_LOST: Final = "NodeLost"
NO_PROGRESS: Final = "NoProgress"  # a child is being stopped for it
# The ConfigMap that the spec names is missing or has no usable pipeline.config.
PIPELINE_CONFIG_UNAVAILABLE: Final = "PipelineConfigUnavailable"
# An obstacle of a child keeps the reason that Kubernetes gave it: ImagePullBackOff, Unschedulable,
# PodRefused, NotPickedUp, MultiKueue, …

# --- Reasons: a person must act ------------------------------------------------------------------
INVALID_SPEC: Final = "InvalidSpec"
NOT_UNDERSTOOD: Final = "NotUnderstood"  # the CRD and the operator are of different versions
INPUT_REFUSED: Final = "InputRefused"
ATTEMPTS_EXHAUSTED: Final = "AttemptsExhausted"
FOREIGN_CHILD: Final = "ForeignChild"
DELETION_FAILED: Final = "DeletionFailed"
