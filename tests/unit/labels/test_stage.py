"""The digest of the inputs of the label datasets, which finds them in an earlier revision."""

from negset_api import names, validation
from negset_api.values import Plan, Records
from negset_jobs.labels.stage import labels_input_digest

MANIFEST = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"name": "street", "namespace": "team-a"},
    "spec": {
        "source": {"coco": {"annotations": "s3://datasets/instances.json"}},
        "excludeClasses": ["person"],
        "selection": {"count": 1},
        "output": {"url": "s3://team-a/negatives", "formats": ["YOLO", "COCO"]},
    },
}
PLAN = Plan(
    input_digest="0123456789abcdef",
    excluded_classes=("person",),
    categories={1: "person"},
    candidates=1,
    planned=1,
    rejected={},
    bytes_estimate=0,
    licenses=(),
    remaining_classes={},
    image_ids=(1,),
    shards=(),
)
RECORDS = Records(
    input_digest="fedcba9876543210",
    planned=1,
    stored=1,
    bytes=1,
    outcomes={},
    files={"train": ("records/a.tfrecord",)},
    images={"train": 1},
    manifest=names.MANIFEST,
)


def test_the_digest_is_that_of_earlier_versions():
    """If it changes, labels of revisions that an earlier version made are written again."""
    assert labels_input_digest(validation.parse(MANIFEST), PLAN, RECORDS) == "6833a4aed67758e2"
