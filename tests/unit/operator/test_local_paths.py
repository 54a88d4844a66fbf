"""On a cluster, every kind of input must be a URL."""

import msgspec
import pytest

from negset_api.spec import NegativeDatasetSpec
from negset_operator.policies.local_paths import local_paths

POSITIVES = {
    "COCO annotations": ({"coco": {"annotations": "a.json"}}, "spec.positives.coco.annotations"),
    "Pascal VOC images": ({"voc": {"annotations": "s3://b/*.xml", "imageUrl": "images/{filename}"}}, "spec.positives.voc.imageUrl"),
    "a YOLO dataset": ({"yolo": {"data": "data.yaml"}}, "spec.positives.yolo.data"),
    "a YOLO dataset in a local archive": ({"yolo": {"data": "zip://data.yaml::/data/a.zip"}}, "spec.positives.yolo.data"),
    "records": ({"tfrecords": ["s3://b/a.tfrecord", "a.tfrecord"]}, "spec.positives.tfrecords[1]"),
    "a label map": ({"tfrecords": ["s3://b/a.tfrecord"], "labelMap": "file:///map.pbtxt"}, "spec.positives.labelMap"),
}


@pytest.mark.parametrize(("positives", "field"), POSITIVES.values(), ids=POSITIVES)
def test_local_positives_are_refused_by_their_field(positives, field):
    spec = {
        "source": {"coco": {"annotations": "s3://b/a.json"}},
        "excludeClasses": ["person"],
        "selection": {"count": 1},
        "output": {"url": "s3://b/out"},
        "positives": positives,
    }
    assert [problem.path for problem in local_paths(msgspec.convert(spec, NegativeDatasetSpec))] == [field]
