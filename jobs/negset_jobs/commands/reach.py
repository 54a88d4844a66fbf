"""The addresses, schemes and files that a command may reach."""

from __future__ import annotations

import argparse

from negset_jobs.adapters.access import DEFAULT_SCHEMES, Access, parse_networks, parse_schemes


def access(options: argparse.Namespace) -> Access:
    """Return what the command may reach.

    On a laptop, all stores and schemes are allowed. On a cluster, only those that the administrator
    allowed.
    """
    networks = parse_networks(options.allow_address, "--allow-address")
    stores = parse_networks(getattr(options, "allow_store", ()), "--allow-store")
    schemes = parse_schemes(getattr(options, "allow_scheme", ()), "--allow-scheme")
    if not options.cluster:
        return Access(allowed_networks=networks)
    return Access(allowed_networks=networks, store_networks=stores, schemes=schemes or DEFAULT_SCHEMES, local_files=False)
