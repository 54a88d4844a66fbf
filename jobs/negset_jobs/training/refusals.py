"""What the Object Detection API refuses, told in words. It refuses configurations with whatever exception is at hand, some of them only when a graph is traced."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from typing import Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf

from negset_api.errors import InvalidInput, NegsetError, WorkFailed

_LONGEST_REASON: Final = 400  # characters of the API's own words in a message


@contextlib.contextmanager
def refusals(*, what: str = "") -> Iterator[None]:
    """Turns the API's exceptions into `InvalidInput`; `what` names the part of the configuration that is looked at."""
    try:
        yield
    except NegsetError:
        raise
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise WorkFailed("the memory does not hold a batch; lower spec.training.batchSize, or give the training more memory") from error
    except Exception as error:
        place = f"{what}: " if what else ""
        raise InvalidInput(f"spec.training.pipelineConfig: {place}the Object Detection API refuses it: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The API's words in one line. A traced graph puts the place in the API's sources before them, and an operation adds a dump of its node."""
    text = error.message.splitlines()[0] if isinstance(error, tf.errors.OpError) and error.message else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("in user code"):
        lines = [line for line in lines if not line.startswith(("in user code", "File "))][-1:]
    return textwrap.shorten(" ".join(lines), _LONGEST_REASON, placeholder=" …") or type(error).__name__
