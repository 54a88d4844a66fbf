"""The addresses, schemes and files that a command may reach."""

from __future__ import annotations

import argparse
import logging
import os

import msgspec

from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec
from negset_jobs.adapters import upstream
from negset_jobs.adapters.access import DEFAULT_SCHEMES, Access, parse_networks, parse_schemes
from negset_jobs.adapters.upstream import Upstream

log = logging.getLogger(__name__)


def access(options: argparse.Namespace) -> Access:
    """Return what the command may reach.

    On a laptop, all stores and schemes are allowed. On a cluster, only those that the administrator
    allowed.
    """
    networks = parse_networks(options.allow_address, "--allow-address")
    stores = parse_networks(getattr(options, "allow_store", ()), "--allow-store")
    schemes = parse_schemes(getattr(options, "allow_scheme", ()), "--allow-scheme")
    if not options.cluster:
        return Access(allowed_networks=networks, upstream=_of_this_machine())
    return Access(
        allowed_networks=networks,
        store_networks=stores,
        schemes=schemes or DEFAULT_SCHEMES,
        local_files=False,
        upstream=_of_administrator(options),
    )


def of_dataset(access: Access, spec: NegativeDatasetSpec) -> Access:
    """Return the same access with the options of stores that the manifest gives."""
    return msgspec.structs.replace(access, store_rules=spec.stores)


def _of_this_machine() -> Upstream | None:
    """Return the proxy of the variables. One that cannot be used is named in the log."""
    try:
        return upstream.from_environment(os.environ)
    except InvalidInput as error:
        log.warning("%s; connections to web servers are direct", error)
        return None


def _of_administrator(options: argparse.Namespace) -> Upstream | None:
    server = upstream.parse_server(getattr(options, "proxy", ""), "--proxy")
    return Upstream(server, server, tuple(getattr(options, "no_proxy", ()))) if server else None
