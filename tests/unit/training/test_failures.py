"""What a person is told when TensorFlow or the operating system ends a training.

The errors themselves are raised for real in tests/local.
"""

import errno

import pytest

from negset_api.errors import NO_FAULT, Interrupted, InvalidInput, PeerLost, WorkFailed
from negset_jobs.training.failures import reason_of, refusals, translate, translated


class OpError(Exception):
    """As `tf.errors.OpError`: the text is in `message`."""

    def __init__(self, message):
        super().__init__(message)
        self.message = message


def tensorflow(kind, message):
    """An error that has the name of TensorFlow's, without importing it."""
    return type(kind, (OpError,), {})(message)


def caused(error, cause):
    error.__cause__ = cause
    return error


AT = "{{function_node __wrapped__SaveV2_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
FULL = "the disk is full: .*free space there, or give the training pods more ephemeral storage"
PEER = "was lost or restarted while the workers trained together: .*all workers resume from the last checkpoint"
MEMORY = "not enough memory for a training step: .*lower spec.training.batchSize"
SIZE = "spec.training.pipelineConfig: expected an image_resizer whose size fits the network.*multiple of 128"
DAMAGED = "a file that the training reads is damaged: .*to fetch it again"
# As worker 0 said when worker 1 was killed.
EVICTED = """Graph execution error:

Detected at node while/body/_1/CollectiveReduceV2 defined at (most recent call last):
  File "/a/loop.py", line 186, in _steps

Collective ops is aborted by: Connection reset by peer
Additional GRPC error information from remote target /job:worker/replica:0/task:1 while calling /tensorflow.WorkerService/RecvBuf:
:{"created":"@1795631562.317384580","file":"external/com_github_grpc_grpc/src/core/lib/surface/call.cc","grpc_status":14}
\t [[{{node while/body/_1/CollectiveReduceV2}}]] on /job:worker/replica:0/task:0 [Op:__inference__steps_1]"""
TOLD = {
    "a full disk while a checkpoint is saved": (
        tensorflow("ResourceExhaustedError", AT + "/tmp/x/ckpt-1.data; No space left on device [Op:SaveV2]"),
        WorkFailed,
        FULL,
    ),
    "a full disk while a file is copied": (
        OSError(errno.ENOSPC, "No space left on device", "/tmp/a"),
        WorkFailed,
        "full: /tmp/a: No space",
    ),
    "a quota that is used up": (OSError(errno.EDQUOT, "Disk quota exceeded"), WorkFailed, FULL),
    "a full disk below what the store says": (
        caused(WorkFailed("cannot read s3://b/k: [Errno 28] No space left on device"), OSError(errno.ENOSPC, "No space left on device")),
        WorkFailed,
        FULL,
    ),
    "a batch that the accelerator cannot hold": (
        tensorflow("ResourceExhaustedError", "OOM when allocating tensor with shape[64,320,320,32] [Op:Conv2D]"),
        WorkFailed,
        MEMORY,
    ),
    "a batch that the driver cannot hold": (tensorflow("InternalError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"), WorkFailed, MEMORY),
    "Python's own memory": (MemoryError(), WorkFailed, MEMORY),
    "a worker that was evicted": (tensorflow("UnavailableError", EVICTED), WorkFailed, f"^worker 1 {PEER}"),
    "a worker that the coordinator misses": (
        tensorflow(
            "UnavailableError", "Task /job:worker/replica:0/task:3 heartbeat timeout. This indicates that the remote task has failed"
        ),
        WorkFailed,
        f"^worker 3 {PEER}",
    ),
    "a worker whose connection broke": (tensorflow("UnknownError", "Socket closed"), WorkFailed, f"^another worker {PEER}"),
    "a worker that came back as another": (tensorflow("AbortedError", "remote incarnation mismatch"), WorkFailed, PEER),
    "workers that wait until the deadline": (tensorflow("DeadlineExceededError", "Deadline Exceeded"), WorkFailed, PEER),
    "NCCL": (tensorflow("InternalError", "NCCL: unhandled system error"), WorkFailed, PEER),
    "a size that the network cannot take, while it is built": (
        ValueError("Exception encountered when calling layer 'FPN'. image size must be >= 129 in both height and width; image dim = 96,96"),
        InvalidInput,
        SIZE,
    ),
    "a size that the network cannot take, at a step": (
        tensorflow("InvalidArgumentError", "Incompatible shapes: [8,13] vs. [8,12]"),
        InvalidInput,
        SIZE,
    ),
    "images of several sizes in a batch": (
        tensorflow("InvalidArgumentError", "Cannot batch tensors with different shapes in component 0. First element had shape [96]"),
        InvalidInput,
        SIZE,
    ),
    "a checkpoint with a byte changed": (tensorflow("DataLossError", "TensorBundle: Checksum does not match"), WorkFailed, DAMAGED),
    "a checkpoint that is cut": (IndexError("Read less bytes than requested"), WorkFailed, DAMAGED),
    "a checkpoint that is none": (OpError("not an sstable (bad magic number)"), WorkFailed, DAMAGED),
    "a checkpoint that is gone": (
        tensorflow("NotFoundError", "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for x"),
        WorkFailed,
        "a file of a checkpoint is missing",
    ),
    "the checkpoint of another network": (
        AssertionError("Found 3 Python objects that were not bound to checkpointed values"),
        InvalidInput,
        "the checkpoint is of another model",
    ),
    "the checkpoint of a network with other sizes": (
        ValueError("Received incompatible tensor with shape (10,) when attempting to restore variable with shape (3,)"),
        InvalidInput,
        "the checkpoint is of another model",
    ),
    "a driver that does not fit": (
        tensorflow("InternalError", "cudaGetDevice() failed. CUDA driver version is insufficient"),
        WorkFailed,
        "its driver matches",
    ),
    "a folder that may not be written": (
        tensorflow("PermissionDeniedError", "/data; Permission denied"),
        WorkFailed,
        "check the permissions",
    ),
    "anything else of TensorFlow": (
        tensorflow("UnimplementedError", "no such kernel [Op:X]"),
        WorkFailed,
        "TensorFlow failed: no such kernel;",
    ),
}


@pytest.mark.parametrize(("error", "kind", "message"), TOLD.values(), ids=TOLD)
def test_an_error_becomes_a_message(error, kind, message):
    with pytest.raises(kind, match=message) as caught, translated():
        raise error
    assert "\n" not in str(caught.value)
    assert "function_node" not in str(caught.value)
    assert "[Op:" not in str(caught.value)


PASSED = {
    "what was said in words already": WorkFailed("cannot read s3://b/k"),
    "a stop that was asked for": Interrupted("stopped after step 3"),
    "a mistake of the program": KeyError("image/source_id"),
    "an assertion of the program": AssertionError("step"),
}


@pytest.mark.parametrize("error", PASSED.values(), ids=PASSED)
def test_nothing_else_is_translated(error):
    assert translate(error) is None
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


def test_while_a_model_is_built_the_apis_errors_are_the_configurations():
    with (
        pytest.raises(
            InvalidInput, match=r"^spec\.training\.pipelineConfig: the Object Detection API refuses it: Unknown ssd feature_extractor"
        ),
        refusals(),
    ):
        raise ValueError("Unknown ssd feature_extractor: x")
    with pytest.raises(WorkFailed, match="the disk is full"), refusals():
        raise OSError(errno.ENOSPC, "No space left on device")


GRAPH = """Graph execution error:

Detected at node add defined at (most recent call last):
  File "/a.py", line 22, in <module>

  File "/a.py", line 21, in step

Incompatible shapes: [2,3] vs. [2,4]
\t [[{{node add}}]] [Op:__inference_step_34]"""
OLDER = """Graph execution error:

Detected at node 'conv' defined at (most recent call last):
    File "/a.py", line 22, in <module>
      main()
Node: 'conv'
The input is too small
\t [[{{node conv}}]] [Op:__inference_step_34]"""
TRACED = """in user code:

    File "/a.py", line 18, in step  *
        return x + y

    ValueError: Dimensions must be equal, but are 3 and 4
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(GRAPH, "Incompatible shapes: [2,3] vs. [2,4]", id="of an error in a graph, without the traceback"),
        pytest.param(OLDER, "The input is too small", id="of an error in a graph, as older versions write it"),
        pytest.param(TRACED, "Dimensions must be equal, but are 3 and 4", id="of an error while a graph is traced"),
        pytest.param("", "OpError", id="of an error without any: its kind"),
    ],
)
def test_the_reason_is_only_the_cause(text, reason):
    assert reason_of(OpError(text)) == reason


def test_a_lost_worker_is_reported_in_a_line_that_fits_a_condition():
    told = str(translate(tensorflow("UnavailableError", EVICTED)))
    assert told == (
        "worker 1 was lost or restarted while the workers trained together: Collective ops is aborted by: Connection reset by peer; "
        "run again: all workers resume from the last checkpoint"
    )


def test_a_long_reason_is_shortened():
    assert len(reason_of(OpError("word " * 1000))) <= 400


def test_a_lost_peer_is_no_failure_once_workers_have_trained_together_and_one_while_they_never_met():
    assert PeerLost("worker 1 was lost", steps=3).exit_code in NO_FAULT
    assert PeerLost("worker 1 was lost").exit_code == WorkFailed.exit_code
