"""What can go wrong, sorted by who has to act.

NegsetError
├── InvalidInput     the user has to change something; retrying is useless
│   └── InvalidSpec  the manifest itself, with one problem per field
├── WorkFailed       the input was fine and the work did not succeed; running again may help
│   ├── PeerLost     another worker of the same training is gone
│   └── Unavailable  a store or a server is away, or asks for a pause: it passes by itself
└── Interrupted      asked to stop; everything committed so far stays
"""

from __future__ import annotations

from typing import Final

import msgspec


class NegsetError(Exception):
    """Base of every error that is reported to the user as one line.

    `exit_code` is what the process ends with.
    """

    exit_code = 1


class InvalidInput(NegsetError):
    """The input is wrong: a field, a file's content, a class name.

    The message says what was expected and what was given.
    """

    exit_code = 2


class WorkFailed(NegsetError):
    """The input is fine, but the work did not succeed: a budget of failures is exhausted, a server
    is gone, an output cannot be written.
    """

    exit_code = 1


PEER_LOST: Final = 75  # EX_TEMPFAIL of sysexits.h


class PeerLost(WorkFailed):
    """Another worker is gone, and the step that all of them made together with it: no fault of this
    one. All go on from the last checkpoint.

    `steps` are those that they had made together since this process began. Workers that never meet
    are a failure like any other, or they would be replaced for ever.
    """

    def __init__(self, message: str, steps: int = 0) -> None:
        super().__init__(message)
        self.steps = steps
        if steps:
            self.exit_code = PEER_LOST


class Unavailable(WorkFailed):
    """A store or server cannot be reached, is overloaded, or has a name that does not resolve now:
    nobody's fault, and over some time.

    `exit_code_by_hand` is what a command of a person's ends with, who sees what is away and tries
    again.
    """

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h
    exit_code_by_hand = 1


class InputUnavailable(Unavailable):
    """The same of an input, whose URL may be misspelt."""

    exit_code_by_hand = 2


class Interrupted(NegsetError):
    """The training was asked to stop, as a pod is that has to leave its node.

    Its checkpoint is saved, and the next run goes on from there.
    """

    exit_code = 143  # 128 + SIGTERM


NO_FAULT: Final = frozenset({Interrupted.exit_code, PEER_LOST})
"""Exit codes of a process that was stopped from outside: to be replaced, and not to be counted
among the failures.
"""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a manifest.

    `path` is the field as kubectl names it (`spec.selection.count`); `given` is the offending value
    as JSON, or None where the field is absent or unknown; `message` says what was expected; `kind`
    is what the API server calls such a mistake.
    """

    path: str
    message: str = ""
    given: str | None = None
    kind: str = "Invalid value"

    def __str__(self) -> str:
        """The problem in the API server's form: `spec.selection.count: Invalid value: 0: should be
        greater than or equal to 1`.
        """
        kind = self.kind if self.given is not None or not self.message else ""
        return ": ".join(part for part in (self.path, kind, self.given, self.message) if part)


class InvalidSpec(InvalidInput):
    """A manifest that the API server would refuse, with the reasons, in the order of the schema."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
