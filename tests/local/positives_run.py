"""Runs the stage of the positives on sources of a test, and reads what it stored."""

import collections

import msgspec
from tests.progress import Silent

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import encode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records
from negset_jobs.positives.classes import Negatives
from negset_jobs.positives.stage import positives_stage

CLASSES = ("person", "car")


def make(folder, positives, *, siblings=(), download=None, networks=(), earlier=None, progress=None):
    """Run the stage on `spec.positives`.

    The classes person and car are excluded from the negatives. `earlier` is what an earlier run
    stored, if this one mends it.
    """
    spec = {
        "source": {"coco": {"annotations": "unused.json"}},
        "excludeClasses": list(CLASSES),
        "selection": {"count": 2, "seed": 5},
        "output": {"url": str(folder)},
        "positives": positives,
        "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1},
        "download": download or {},
    }
    dataset = msgspec.convert({"metadata": {"name": "test"}, "spec": spec}, NegativeDataset)
    store = Store(str(folder))
    store.create(names.PLAN, encode(Negatives(excluded_classes=CLASSES, categories={1: "person", 3: "car"}, remaining_classes={})))
    return store, positives_stage(store, dataset, Access(allowed_networks=networks), siblings, progress or Silent(), earlier)


def records(store, positives):
    """The stored records by split, decoded."""
    found = collections.defaultdict(list)
    for split, keys in positives.files.items():
        for key in keys:
            with store.reading(key) as stream:
                found[split].extend(decode_example(payload) for _, payload in read_records(stream))
    return found
