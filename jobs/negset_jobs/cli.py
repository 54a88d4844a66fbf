"""The command line. Standard output has results only; progress and errors go to standard error.

Exit codes:

- 0: success.
- 1: the work failed, or a package that it needs is not installed.
- 2: the input is wrong.
- 69, on a cluster: a store or server is unavailable.
- 75, on a cluster: another worker of the same training was lost.
- 130 and 143: interrupted by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, TypeAlias

from negset_api import extras, names, stages
from negset_api.errors import NegsetError, Unavailable
from negset_api.version import version
from negset_jobs import interruption
from negset_jobs.adapters.quoting import of_bug
from negset_jobs.process_end import end_without_destructors

Command = Callable[[argparse.Namespace], int]
_STDERR: Final = 2
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no other name for it


def process() -> NoReturn:
    """Run `negset` as a process, which exits with the code that `main` returns."""
    _open_closed_streams()
    returned: list[int] = []
    end_without_destructors(lambda: returned[0] if returned else None)
    try:
        returned.append(main())
    except Exception:  # noqa: BLE001 - with --debug it ends the process, as any code does
        sys.excepthook(*sys.exc_info())
        returned.append(1)
    sys.exit(returned[0])


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that this process was started without.

    Otherwise a later file would get the stream's number, and a child process would not get that
    file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return the exit code of the process."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    received: list[int] = []
    command: Command = options.command
    on_cluster: bool = getattr(options, "cluster", False)
    try:
        with interruption.raised(received):
            return command(options)
    except NegsetError as error:
        if options.debug:
            raise
        _report_error(str(error), pod=on_cluster)
        return error.exit_code_by_hand if isinstance(error, Unavailable) and not on_cluster else error.exit_code
    except KeyboardInterrupt:
        _report_error("interrupted; all committed work is kept, and the same command continues from there", pod=on_cluster)
        return 128 + (received[0] if received else signal.SIGINT)
    except BrokenPipeError:
        # The reader closed standard output. Python must not fail again when it flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        _report_error(_unexpected(error), pod=on_cluster)
        return 1


def _unexpected(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return extras.advice(error.name)
    return f"internal error: {of_bug(error)} (run with --debug for the traceback)"


def _report_error(text: str, *, pod: bool) -> None:
    """Write an error to standard error and, on a cluster (`pod`), to the pod's status.

    In the log it may not be the last line: libraries write there while they shut down.
    """
    from negset_jobs.adapters.kubernetes_status import write_termination_message

    for line in text.splitlines():
        sys.stderr.write(f"negset: {line}\n")
    if pod:
        write_termination_message(f"negset: {' '.join(text.split())}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="negset",
        description="Negative images and hard negative mining for object detectors. FILE is a NegativeDataset manifest (YAML), the same file as for `kubectl apply`.",
    )
    parser.add_argument("--version", action="version", version=f"negset {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_init, _add_run, _add_plan, _add_validate, _add_crd, _add_report, _add_demo, _add_job):
        add(commands)
    return parser


def _add_init(commands: _Commands) -> None:
    text = "Write a manifest to start from, with comments. An existing file is kept."
    init = _command(commands, "init", "start", text)
    init.add_argument("file", metavar="FILE", help="the manifest to write, such as street-background.yaml; - writes to standard output")


def _add_run(commands: _Commands) -> None:
    run = _command(commands, "run", "laptop", "Run every step of the manifest on this machine. The last line is the path of the report.")
    _add_file(run)
    _add_reach(run)
    run.add_argument(
        "--trainings",
        type=_at_least_one,
        metavar="N",
        help="train up to N models at the same time if none needs the result of another; each needs its own memory "
        "(default: spec.training.maxParallel of the manifest)",
    )


def _add_plan(commands: _Commands) -> None:
    text = "Show how many images would be selected, their classes, their licences and about how many bytes they have. Downloads no image."
    plan = _command(commands, "plan", "show", text)
    _add_file(plan)
    _add_reach(plan)
    plan.add_argument("--json", action="store_true", help="print one JSON object")


def _add_validate(commands: _Commands) -> None:
    _add_file(_command(commands, "validate", "show", "Check a manifest as the API server would, without a cluster."))


def _add_crd(commands: _Commands) -> None:
    _command(commands, "crd", "show", "Print the CustomResourceDefinition.")


def _add_report(commands: _Commands) -> None:
    report = _command(commands, "report", "show", "Print the results of a finished revision.")
    report.add_argument("url", metavar="URL", help="a revision's folder, its report/index.html or its report/report.json")
    report.add_argument("--json", action="store_true", help="print the report's JSON")


def _add_demo(commands: _Commands) -> None:
    demo = _command(commands, "demo", "laptop", "Run every step on a small generated dataset, which is served on the loopback address.")
    demo.add_argument(
        "--output", default="negset-demo", metavar="FOLDER", help="the folder for the dataset and all output (default: %(default)s)"
    )


def _add_job(commands: _Commands) -> None:
    job = _command(commands, "job", "job", "Run one step, as the operator's jobs do.")
    _add_reach(job)
    job.add_argument(
        "--allow-store",
        action="append",
        default=[],
        metavar="CIDR",
        help="allow object stores in this network, even if it is not public; repeatable",
    )
    job.add_argument(
        "--allow-scheme",
        action="append",
        default=[],
        metavar="SCHEME",
        help="allow this URL scheme, instead of the default s3, gs, abfs, http and https; repeatable; needs --cluster",
    )
    job.add_argument("--proxy", default="", metavar="URL", help="connect to servers through this proxy; needs --cluster")
    job.add_argument(
        "--no-proxy",
        action="append",
        default=[],
        metavar="HOST",
        help="connect directly to this host and all below it, or to this network; repeatable; needs --cluster",
    )
    job.add_argument("stage", choices=[*stages.KINDS, "delete"])
    job.add_argument("--file", required=True, metavar="FILE", help="the manifest")
    job.add_argument("--round", type=int, default=0, metavar="N", help="the training round, from 1")
    arms = [names.MINED, names.RANDOM_NEGATIVES, names.NO_NEGATIVES]
    job.add_argument("--arm", choices=arms, default=names.MINED, help="which of the compared models to train (default: %(default)s)")


def _command(commands: _Commands, name: str, module: str, text: str) -> argparse.ArgumentParser:
    """Add a command that the function of the same name in `commands.<module>` runs."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--debug", action="store_true", help="show log messages and tracebacks")
    parser.set_defaults(command=_lazy(module, name))
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the manifest; - reads standard input")


def _add_reach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-address",
        action="append",
        default=[],
        metavar="CIDR",
        help="allow http(s) URLs in this network, even if it is not public, such as 127.0.0.1/32; repeatable",
    )
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="run as a job on a cluster: refuse local paths, and write progress to the object's status",
    )


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {number}")
    return number


def _lazy(module: str, name: str) -> Command:
    """Return the command of that name. Its module is imported only when it runs."""

    def call(options: argparse.Namespace) -> int:
        function: Command = getattr(importlib.import_module(f"negset_jobs.commands.{module}"), name)
        return function(options)

    return call
