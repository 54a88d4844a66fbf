"""The errors, by who must act.

NegsetError
├── InvalidInput     the user must change something; a retry does not help
│   └── InvalidSpec  the manifest is invalid, with one problem for each field
├── WorkFailed       the input is valid and the work failed; a retry may help
│   ├── PeerLost     another worker of the same training was lost
│   └── Unavailable  a transient error: a store or a server cannot be reached or asks for a pause
├── CannotRunHere    a package is not installed, or the operating system is not supported
└── Interrupted      the process was asked to stop; committed work stays
"""

from __future__ import annotations

from typing import Final

import msgspec


class NegsetError(Exception):
    """Base of every error that is reported to the user as one line.

    `exit_code` is the exit code of the process.
    """

    exit_code = 1


class InvalidInput(NegsetError):
    """The input is invalid: a field, the content of a file, a class name.

    The message has the expected and the given value.
    """

    exit_code = 2


class WorkFailed(NegsetError):
    """The input is valid, but the work failed.

    For example, too many images failed, or an output cannot be written.
    """

    exit_code = 1


PEER_LOST: Final = 75  # EX_TEMPFAIL of sysexits.h


class PeerLost(WorkFailed):
    """Another worker of the same training was lost, and with it the step that all do together.

    It is no fault of this worker. All workers continue from the last checkpoint.

    `steps` is how many steps the workers have done together since this process started. If it is 0,
    the workers never met. That counts as a failure, so that they are not replaced without end.
    """

    def __init__(self, message: str, steps: int = 0) -> None:
        super().__init__(message)
        self.steps = steps
        if steps:
            self.exit_code = PEER_LOST


class Unavailable(WorkFailed):
    """A transient error: a store or a server cannot be reached, or is overloaded.

    For example, its name does not resolve now. A later retry helps.

    `exit_code_by_hand` is the exit code of a command that a person runs. That person reads the
    message and retries.
    """

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h
    exit_code_by_hand = 1


class InputUnavailable(Unavailable):
    """An input cannot be reached, because of a transient error or because its URL is misspelt."""

    exit_code_by_hand = 2


class CannotRunHere(NegsetError):
    """A package that the work needs is not installed, or the operating system is not supported.

    The input is not wrong, and a retry does not help. The message says what to install.
    """

    exit_code = 1


class Interrupted(NegsetError):
    """The training was asked to stop, for example because its pod must leave its node.

    The checkpoint is saved, and the next run continues from it.
    """

    exit_code = 143  # 128 + SIGTERM


NO_FAULT: Final = frozenset({Interrupted.exit_code, PEER_LOST})
"""Exit codes of a process that was stopped from outside.

It is replaced, and does not count as a failure.
"""


class Problem(msgspec.Struct, frozen=True):
    """One problem of a manifest.

    `path` is the field as kubectl names it (`spec.selection.count`). `given` is the invalid value
    as JSON, or None if the field is absent or unknown. `message` is what is expected. `kind` is the
    API server's name for such an error.
    """

    path: str
    message: str = ""
    given: str | None = None
    kind: str = "Invalid value"

    def __str__(self) -> str:
        """Return the problem in the API server's form.

        For example: `spec.selection.count: Invalid value: 0: should be greater than or equal to 1`.
        """
        kind = self.kind if self.given is not None or not self.message else ""
        return ": ".join(part for part in (self.path, kind, self.given, self.message) if part)


class InvalidSpec(InvalidInput):
    """The API server would refuse the manifest. `problems` are in the order of the schema."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
