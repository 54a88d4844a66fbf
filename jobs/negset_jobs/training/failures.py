"""Errors of TensorFlow and the operating system, as messages that say what to do.

Imports no TensorFlow: its errors are known by the names of their classes. So this module can wrap
code that imports TensorFlow late.
"""

from __future__ import annotations

import contextlib
import errno
import re
import textwrap
from collections.abc import Iterator
from typing import Final, NamedTuple

from negset_api.errors import InvalidInput, NegsetError, PeerLost, WorkFailed

_LONGEST: Final = 400  # characters of a foreign error in a message
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_CONFIG: Final = "spec.training.pipelineConfig"
_LIMITS: Final = frozenset({"OSError", "MemoryError", "ResourceExhaustedError"})
"""Errors that the machine causes and not the configuration, wherever they are raised."""

# The lost task. A message also names the task that reports the loss.
_TASK: Final = re.compile(r"(?:remote target|reported from|Task|connect to) /job:worker/(?:replica:\d+/)?task:(\d+)")


class _Rule(NamedTuple):
    """An error of one of the `kinds` whose text matches `pattern` is reported as `message`.

    {reason} and {who} in the message are filled in.
    """

    kinds: frozenset[str]
    pattern: re.Pattern[str]
    error: type[WorkFailed | InvalidInput]
    message: str


def _rule(kinds: str, pattern: str, error: type[WorkFailed | InvalidInput], message: str) -> _Rule:
    return _Rule(frozenset(kinds.split()), re.compile(pattern, re.IGNORECASE), error, message)


_MEMORY: Final = "not enough memory for a training step: {reason}; lower spec.training.batchSize or the size in image_resizer, or give the pods more memory"
_DAMAGED: Final = "a file that the training reads is damaged: {reason}; run again to fetch it again"
_PEER: Final = (
    "{who} was lost or restarted while the workers trained together: {reason}; run again: all workers resume from the last checkpoint"
)
_MODEL: Final = (
    f"{_CONFIG}: the checkpoint is of another model: {{reason}}; give a checkpoint of the same network, or none to train from scratch"
)
_RULES: Final = (
    _rule("MemoryError ResourceExhaustedError", "", WorkFailed, _MEMORY),
    _rule("OpError", "OOM when allocating|out of memory|OUT_OF_MEMORY|failed to allocate", WorkFailed, _MEMORY),
    _rule("DataLossError", "", WorkFailed, _DAMAGED),
    # TensorFlow's checkpoint readers raise some errors as Python's own.
    _rule(
        "OpError IndexError RuntimeError", "not an sstable|checksum does not match|read less bytes|corrupted record", WorkFailed, _DAMAGED
    ),
    # All workers make the steps together, so losing one gives any of these errors at the others.
    _rule("UnavailableError AbortedError DeadlineExceededError", "", PeerLost, _PEER),
    _rule(
        "InternalError UnknownError CancelledError FailedPreconditionError",
        "socket closed|connection re(set|fused)|failed to connect|collective|nccl|incarnation|heartbeat|coordination",
        PeerLost,
        _PEER,
    ),
    _rule("AssertionError", "not bound to checkpointed values|checkpoint", InvalidInput, _MODEL),
    _rule("ValueError InvalidArgumentError", "incompatible tensor .* restore|shape mismatch .*checkpoint", InvalidInput, _MODEL),
    _rule(
        "ValueError InvalidArgumentError",
        r"incompatible shapes|dimensions? .*must be equal|dimensions of inputs should match|must be >= \d+ in both height and width"
        "|negative dimension size|output size would be negative|dimensions in the output is <= 0|cannot batch tensors with different shapes"
        "|matching shapes except for the concat",
        InvalidInput,
        f"{_CONFIG}: expected an image_resizer whose size fits the network, got one that does not: {{reason}}; use a size that the network "
        "supports, such as 320, 512 or 640 (with a feature pyramid, a multiple of 128)",
    ),
    _rule(
        "InvalidArgumentError",
        "jpeg|invalid (png|gif|bmp)|image format|image file format|parse (serialized )?example",
        WorkFailed,
        "an image or a record cannot be decoded: {reason}; run again: unreadable records are skipped before the first step",
    ),
    _rule(
        "NotFoundError",
        "checkpoint|tensorslicereader",
        WorkFailed,
        "a file of a checkpoint is missing: {reason}; run again to fetch it again",
    ),
    _rule(
        "PermissionDeniedError",
        "",
        WorkFailed,
        "no permission to read or write a file: {reason}; check the permissions of the folder",
    ),
    _rule(
        "OpError",
        "cuda|cudnn|cublas|cusolver|no kernel image|ptxas",
        WorkFailed,
        "the accelerator failed: {reason}; check that its driver matches the trainer image, and that no other process uses it",
    ),
    _rule(
        "OpError", "", WorkFailed, "TensorFlow failed: {reason}; run again, and report it if it happens again (--debug shows the traceback)"
    ),
)
"""The first rule that matches applies."""


def translate(error: BaseException) -> NegsetError | None:
    """Return the error to report instead of `error`; None if there is nothing better.

    It is `WorkFailed` if another attempt may succeed, `InvalidInput` if the input has to change.
    """
    if full := _full_disk(error):
        return WorkFailed(
            f"the disk is full: {full}; free space there, or give the training pods more ephemeral storage (on a laptop, TMPDIR names the "
            "folder for temporary files), and run again"
        )
    if isinstance(error, NegsetError):
        return None
    kinds, cause = _kinds(error), _cause(error)
    for rule in _RULES:
        if kinds & rule.kinds and rule.pattern.search(cause):
            task = _TASK.search(_complete(error))
            return rule.error(rule.message.format(reason=reason_of(error), who=f"worker {task.group(1)}" if task else "another worker"))
    return None


def reason_of(error: BaseException) -> str:
    """Return the cause in the error's own words, on one line and shortened."""
    return textwrap.shorten(_cause(error), _LONGEST, placeholder=" …") or type(error).__name__


def _cause(error: BaseException) -> str:
    text = _complete(error)
    # An error in a graph starts with the traceback of where its node was made.
    if len(parts := re.split(r'\n\s*File "[^\n]*', text)) > 1:
        text = re.split(r"\n\s*\n", parts[-1], maxsplit=1)[-1]
    text = re.split(r"\nNode: '[^'\n]*'\n", text)[-1]
    text = re.split(r"\n\s*(?:\d+ derived errors|Original stack trace|Hint: |Additional GRPC error information)", text)[0]
    return re.sub(r"\{\{(?:function_)?node [^}]*\}\}|\[\[[^\]]*\]\]|\[Op:[^\]]*\]( name: *)?|^\s*\w+Error: ", " ", text).strip()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what `translate` returns instead of the block's error. Also a decorator."""
    try:
        yield
    except Exception as error:
        if (translation := translate(error)) is not None:
            raise translation from error
        raise


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Do as `translated`, for a block that builds or traces what the configuration asks for.

    The API refuses a configuration with many different exceptions.
    """
    try:
        with translated():
            yield
    except NegsetError:
        raise
    except (ValueError, TypeError, NotImplementedError, ArithmeticError, KeyError, OSError) as error:
        raise _refused(error) from error


@contextlib.contextmanager
def trial(what: str) -> Iterator[None]:
    """Do as `refusals`, for a block that tries the part `what` of a configuration.

    The block uses synthetic data. The configuration causes every error there, except the limits of
    the machine.
    """
    try:
        yield
    except NegsetError:
        raise
    except Exception as error:
        translation = translate(error)
        if translation is not None and (isinstance(translation, InvalidInput) or _kinds(error) & _LIMITS):
            raise translation from error
        raise _refused(error, f"{what}: ") from error


def _refused(error: Exception, place: str = "") -> InvalidInput:
    return InvalidInput(f"{_CONFIG}: {place}the Object Detection API refuses it: {reason_of(error)}")


def _full_disk(error: BaseException) -> str:
    """Return what could not be written to a full disk; empty if there is no such cause."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.errno in _FULL:
            return f"{at.filename}: {at.strerror}" if at.filename else str(at.strerror)
        if "OpError" in _kinds(at) and re.search("no space left on device|disk quota exceeded", _complete(at), re.IGNORECASE):
            return reason_of(at)
        at = at.__cause__
    return ""


def _kinds(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _complete(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)
