"""The command `negset-operator`: options, leadership, signals."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any, Final

import msgspec

from negset_api import extras
from negset_api.errors import InvalidInput, NegsetError
from negset_operator import logs
from negset_operator.config import Config, read

log = logging.getLogger(__name__)

LAST_PORT: Final = 65535


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM. Exit codes: 0 asked to stop, 1 leadership lost, 2 invalid input."""
    options = _parser().parse_args(arguments)
    logs.configure(options.log_level)
    try:
        extras.require("negset-operator", ["cluster"])
        config = read(options.config) if options.config else Config()
        if options.namespaces:
            config = msgspec.structs.replace(config, namespaces=tuple(name for name in options.namespaces.split(",") if name))
        # A resolver that does not answer must not delay the start.
        threading.Thread(target=_check_proxy, args=(config,), name="proxy-check", daemon=True).start()
        return _run(options, config)
    except NegsetError as error:
        sys.stderr.write(f"negset-operator: {error}\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="negset-operator", description="Reconciles NegativeDatasets into Ray jobs and training jobs.")

    def option(name: str, help_text: str, default: Any = None, **more: Any) -> None:
        variable = "NEGSET_" + name.upper().replace("-", "_")
        given = os.environ.get(variable, default)
        parser.add_argument(f"--{name}", default=given, help=f"{help_text} (environment: {variable}; default: {default or 'none'})", **more)

    option("config", "file with images, resources and networks, as YAML")
    option("namespaces", "namespaces to watch, separated by commas; empty means all")
    option("kubeconfig", "kubeconfig file; a pod uses its service account by default")
    option("listen", "address of the health and metrics endpoints", "0.0.0.0:8080")
    option("lease", "namespace/name of the Lease for leader election; empty disables leader election")
    option("log-level", "debug, info, warning or error", "info", choices=["debug", "info", "warning", "error"])
    return parser


def _run(options: argparse.Namespace, config: Config) -> int:
    from negset_operator.kube.client import connect
    from negset_operator.kube.lease import Leadership
    from negset_operator.loop import Operator
    from negset_operator.web import Web

    _allow_open_files()
    client = connect(options.kubeconfig or None)
    operator = Operator(client, config)
    stopping = threading.Event()
    leadership = None
    if options.lease:
        namespace, _, name = options.lease.rpartition("/")
        leadership = Leadership(client, namespace or "default", name, f"{socket.gethostname()}-{os.getpid()}")

    def stop(*_: object) -> None:
        stopping.set()
        if leadership is not None:
            leadership.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    address, port = _address(options.listen)
    try:
        web = Web(address, port, operator.metrics.registry, ready=operator.not_ready, alive=operator.ended_threads)
    except OSError as error:
        raise InvalidInput(f"--listen: cannot listen on {options.listen}: {error.strerror}") from error
    with web:
        log.info("serving health and metrics on %s:%d", address, web.port)
        operator.watch()
        if leadership is None:
            operator.work()
            stopping.wait()
        elif leadership.acquire():
            operator.work()
            if not leadership.hold():
                return 1  # at once, without waiting for running reconciles: another may be the leader already
        operator.stop()
        if leadership is not None:
            leadership.release()
    log.info("stopped")
    return 0 if stopping.is_set() else 1


def _check_proxy(config: Config) -> None:
    """Log a warning if the network policy may keep jobs from the proxy.

    It is no error: the addresses of a name may change, and other policies may allow the proxy.
    """
    proxy = config.networks.proxy
    if not proxy.url:
        return
    try:
        found = socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        log.warning("networks.proxy.url: cannot resolve the name of the proxy (%s): %s", proxy.url, error)
        return
    if problem := config.networks.unreachable_proxy(sorted({str(address[0]).partition("%")[0] for *_, address in found})):
        log.warning("%s", problem)


def _allow_open_files() -> None:
    """Raise the soft limit of open files to the hard one.

    Each watch is a connection, and the soft limit is often 1,024.
    """
    import resource  # not on Windows, where --help works

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > LAST_PORT:
        raise InvalidInput(f"--listen: expected an address such as 0.0.0.0:8080, got {text!r}")
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
