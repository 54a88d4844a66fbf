"""The command line. Standard output carries results only; progress and errors go to standard error.

Exit codes: 0 done, 1 the work failed, 2 the input is wrong, 69 on a cluster what is needed cannot
be reached now, 75 another worker of the same training is gone, 130 and 143 interrupted by Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from negset_api import names
from negset_api.errors import NegsetError, Unavailable
from negset_api.version import version
from negset_jobs.adapters.quoting import of_bug

Command = Callable[[argparse.Namespace], int]


def process() -> NoReturn:
    """`negset` as a process: ends with what `main` returns."""
    returned: list[int] = []
    end_without_destructors(lambda: returned[0] if returned else None)
    returned.append(main())
    sys.exit(returned[0])


def end_without_destructors(code: Callable[[], int | None]) -> None:
    """Lets this process end with what `code` returns, after Python's own end (threads, `atexit`)
    and without that of the compiled libraries. Where it returns None, the process ends as it would.
    To be called before the libraries are imported.

    Ray's threads outlive `ray.shutdown`, the one that flushes its log among them. Now and then one
    of them uses what the C++ library has destroyed already, and a process whose work is done ends
    by a segmentation fault. Ray ends its own workers in this way
    (https://github.com/ray-project/ray/pull/18899).
    """

    def leave() -> None:
        number = code()
        if number is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # The reader of our output has gone: nothing is left to say.
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(number)

    atexit.register(leave)  # what is registered first runs last


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole program: returns what the process ends with."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # Beside the exception, because Ray raises a KeyboardInterrupt of its own in place of what a
    # handler raised.
    asked: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        asked.append(number)
        raise _Asked

    signal.signal(signal.SIGTERM, interrupt)
    # A program started with SIGINT ignored goes on ignoring it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    command: Command = options.command
    on_cluster: bool = getattr(options, "cluster", False)
    try:
        return command(options)
    except NegsetError as error:
        if options.debug:
            raise
        _complain(str(error), pod=on_cluster)
        return error.exit_code_by_hand if isinstance(error, Unavailable) and not on_cluster else error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; everything committed so far is safe, and the same command goes on from there", pod=on_cluster)
        return 128 + (asked[0] if asked else signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone: nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        _complain(f"internal error: {of_bug(error)} (run with --debug for the traceback)", pod=on_cluster)
        return 1


def _complain(text: str, *, pod: bool) -> None:
    """On a cluster (`pod`) also into the pod's status: what libraries write as they end would hide
    it in the log.
    """
    from negset_jobs.adapters.kubernetes_status import tell_pod

    for line in text.splitlines():
        sys.stderr.write(f"negset: {line}\n")
    if pod:
        tell_pod(f"negset: {' '.join(text.split())}")


class _Asked(KeyboardInterrupt):
    """SIGINT or SIGTERM asks for an end, and both end the work alike.

    Not KeyboardInterrupt itself: CPython remembers where one leaves an `exec` of source text (a
    dataclass is made by one, so importing Ray is full of them), and then ends the process by SIGINT
    whatever exit code was returned (`_PyRuntime.unhandled_keyboard_interrupt` in
    Python/pythonrun.c).
    """


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="negset",
        description="Negative images and hard negative mining for object detectors. FILE is a NegativeDataset manifest (YAML), the same that `kubectl apply` takes.",
    )
    parser.add_argument("--version", action="version", version=f"negset {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    # Options that make sense behind every command as well as before it.
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show log messages and tracebacks")
    reach = argparse.ArgumentParser(add_help=False)
    reach.add_argument(
        "--allow-address",
        action="append",
        default=[],
        metavar="CIDR",
        help="also fetch from this network although it is not public, such as 127.0.0.1/32; repeatable",
    )
    reach.add_argument(
        "--cluster",
        action="store_true",
        help="run as a tenant's job on a cluster: local paths are refused, progress goes to the object's status",
    )

    def command(name: str, function: str, text: str, *parents: argparse.ArgumentParser, file: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[common, *parents])
        if file:
            sub.add_argument("file", metavar="FILE", help="the manifest; - reads standard input")
        sub.set_defaults(command=_lazy(function))
        return sub

    run = command("run", "run", "Do everything the manifest asks for, here; prints the path of the report last.", reach)
    run.add_argument(
        "--trainings",
        type=_at_least_one,
        metavar="N",
        help="train up to N models at the same time if none needs the result of another; each needs memory of its own "
        "(default: spec.training.maxParallel of the manifest)",
    )
    plan = command(
        "plan",
        "plan",
        "Say which images would be taken, from which scenes, under which licences, and about how many bytes. Downloads no image.",
        reach,
    )
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    command("validate", "validate", "Check a manifest as the API server would, without a cluster.")
    command("crd", "crd", "Print the CustomResourceDefinition.", file=False)
    report = command("report", "report", "Print the numbers of a finished run.", file=False)
    report.add_argument("url", metavar="URL", help="a revision's folder, its report/index.html or its report/report.json")
    report.add_argument("--json", action="store_true", help="print the report's JSON")
    demo = command("demo", "demo", "Run the main job on a small dataset that is made on the spot and served on the loopback.", file=False)
    demo.add_argument("--output", default="negset-demo", metavar="FOLDER", help="where everything goes (default: %(default)s)")
    job = command("job", "job", "Run one stage, as the operator's jobs do.", reach, file=False)
    job.add_argument(
        "--allow-store",
        action="append",
        default=[],
        metavar="CIDR",
        help="also reach object stores in this network although it is not public; repeatable",
    )
    job.add_argument(
        "--allow-scheme",
        action="append",
        default=[],
        metavar="SCHEME",
        help="a URL scheme that may be used, instead of s3, http and https; repeatable; needs --cluster",
    )
    job.add_argument("stage", choices=["check", "data", "train", "mine", "delete"])
    job.add_argument("--file", required=True, metavar="FILE", help="the manifest")
    job.add_argument("--round", type=int, default=0, metavar="N", help="the training round, from 1")
    arms = [names.MINED, names.RANDOM_NEGATIVES, names.NO_NEGATIVES]
    job.add_argument(
        "--arm", choices=arms, default=names.MINED, help="which of the models that are compared is trained (default: %(default)s)"
    )
    return parser


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {number}")
    return number


def _lazy(name: str) -> Command:
    """The command of that name, whose imports are paid for only when it runs."""

    def call(options: argparse.Namespace) -> int:
        from negset_jobs import commands

        function: Command = getattr(commands, name)
        return function(options)

    return call
