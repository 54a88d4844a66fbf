"""Condition types and reasons.

Users write alerts and health checks against them: they are part of the interface.
"""

from __future__ import annotations

from typing import Final

# --- Condition types ---------------------------------------------------------------------------------------------------------------------
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

Conditions of other types are other people's, and are left alone.
"""

# --- Reasons: all is well ----------------------------------------------------------------------------------------------------------------
SUCCEEDED: Final = "Succeeded"
PENDING: Final = "Pending"  # an earlier stage is not done, or others have their turn
STARTING: Final = "Starting"
RUNNING: Final = "Running"
QUEUED: Final = "Queued"  # Kueue has not admitted it yet
SUSPENDED: Final = "Suspended"
SUSPENDING: Final = "Suspending"
REPLACING: Final = "Replacing"  # a changed spec: what ran for the old one is being stopped
DELETING_DATA: Final = "DeletingData"
# Of an event: the object is gone and data of it, or beside it, is not.
DATA_LEFT: Final = "DataLeft"

# --- Reasons: it goes on by itself, but somebody may want to know -------------------------------------------------------------------------
RETRYING: Final = "Retrying"
NOT_APPLIED: Final = "NotApplied"  # the API server refused or could not be reached
CHILD_REFUSED: Final = "ChildRefused"  # quota, admission or validation refused an object of ours
KUBERAY_MISSING: Final = "KubeRayMissing"
NAMESPACE_ENDING: Final = "NamespaceEnding"  # nothing can be made in it any more
NODE_LOST: Final = "NodeLost"
NO_PROGRESS: Final = "NoProgress"  # a child is being stopped for it
# The ConfigMap that the spec names is missing, or not as it should be.
PIPELINE_CONFIG_UNAVAILABLE: Final = "PipelineConfigUnavailable"
# An obstacle of a child keeps the name that Kubernetes gave it: ImagePullBackOff, Unschedulable,
# PodRefused, NotPickedUp, MultiKueue, …

# --- Reasons: somebody has to act ---------------------------------------------------------------------------------------------------------
INVALID_SPEC: Final = "InvalidSpec"
NOT_UNDERSTOOD: Final = "NotUnderstood"  # the CRD and the operator are of different versions
INPUT_REFUSED: Final = "InputRefused"
ATTEMPTS_EXHAUSTED: Final = "AttemptsExhausted"
FOREIGN_CHILD: Final = "ForeignChild"
DELETION_FAILED: Final = "DeletionFailed"
