"""A dataset at one revision: its folders, and the lock on them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import msgspec

from negset_api import names, stages
from negset_api.errors import InvalidInput
from negset_api.revision import revision as revision_of
from negset_api.spec import NegativeDataset
from negset_api.version import version
from negset_jobs.adapters import urls
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store

log = logging.getLogger(__name__)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset at one revision: its spec, its folders, and what it may reach.

    `root` is the dataset's folder, `store` this revision's folder in it. `siblings` are the other
    folders in `root` at the start; other revisions may appear later.
    """

    dataset: NegativeDataset
    access: Access
    root: Store
    store: Store
    siblings: tuple[Store, ...]

    @property
    def steps(self) -> tuple[stages.Step, ...]:
        """The steps of the spec, in order."""
        return stages.steps(self.dataset.spec)

    @property
    def last(self) -> stages.Step:
        """The last step before the report."""
        return self.steps[-1]


def prepare(dataset: NegativeDataset, access: Access, operator_revision: str = "", *, pipeline: str = "") -> Revision:
    """Open the output, without writing to it.

    `operator_revision` is the revision that the operator computed, if any. It decides the folder,
    because jobs of another version must write where the operator expects it. `pipeline` is the
    digest of the ConfigMap's pipeline.config. Raises `InvalidInput`, or `WorkFailed` if the output
    cannot be reached.
    """
    url = access.check_url(dataset.spec.output.url, "spec.output.url")
    if len(url.links) > 1:
        raise InvalidInput("spec.output.url: expected the URL of a folder, got URLs joined by '::'; give the URL of the folder alone")
    if url.target.scheme in urls.READ_SCHEMES:
        raise InvalidInput(
            f"spec.output.url: expected the URL of a folder in an object store, or a local folder, got {urls.shown(url)}; "
            f"{url.target.scheme} is for files that are read"
        )
    metadata = dataset.metadata
    root = Store(names.dataset_root(dataset.spec.output.url, metadata.namespace, metadata.name))
    folder = revision_of(dataset.spec, pipeline)
    if operator_revision and operator_revision != folder:
        message = "the operator computed revision %s, negset %s computed %s: their versions differ; using the operator's revision"
        log.warning(message, operator_revision, version(), folder)
        folder = operator_revision
    siblings = tuple(root.child(other) for other in root.folders() if other != folder)
    return Revision(dataset=dataset, access=access, root=root, store=root.child(folder), siblings=siblings)


def alone(revision: Revision, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """Keep other commands on this machine from the revision for the block, if it is a local folder.

    Two at once would remove each other's incomplete files. In a store, each file appears whole, and
    the first marker counts.
    """
    return revision.store.alone(lambda: say(f"waiting for another negset command, which works on {revision.store.url}"))
