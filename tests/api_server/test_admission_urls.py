"""The chart's policy for URLs on a real API server: which specs it refuses, for which field."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Iterator
from typing import Any

import policies
import pytest
from kubernetes.client import ApiException
from operators import SPEC, TRAINING, Cluster

from negset_api import names
from negset_jobs.adapters.access import Access

FULL: dict[str, Any] = {**SPEC, **TRAINING}


@pytest.fixture(scope="module")
def home(api_server) -> Iterator[str]:
    with policies.installed(api_server) as home:
        yield home


def with_url(field: str, url: str) -> dict[str, Any]:
    """Return the full spec with this URL in a field, such as `positives.coco.annotations`."""
    spec = copy.deepcopy(FULL)
    if field.startswith(("positives.coco", "positives.voc")):
        kind = field.split(".")[1]
        place = "s3://b/{file_name}" if kind == "coco" else "s3://b/{filename}"
        spec["positives"] = {kind: {"annotations": "s3://b/a", "imageUrl": place}}
    if field == "positives.yolo.data":
        spec["positives"] = {"yolo": {}}
    if field == "training.pipelineConfig.url":
        spec["training"]["pipelineConfig"] = {}
    *parents, last = field.split(".")
    place = spec
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = [url] if last in {"excludeImagesOf", "tfrecords", "urls", "labels", "images"} else url
    if not field.startswith("source.coco") and "coco" in spec["source"] and field.startswith("source."):
        spec["source"].pop("coco")
    if field.startswith("source.openImages"):
        given = spec["source"]["openImages"]
        spec["source"]["openImages"] = {"labels": ["s3://b/l"], "classDescriptions": "s3://b/c", "images": ["s3://b/i"], **given}
    return spec


ANNOTATIONS = "source.coco.annotations"
IMAGES = "source.coco.imageUrl"
OUTPUT = "output.url"

TAKEN = {
    "an object in a bucket": (ANNOTATIONS, "s3://datasets/coco/instances.json"),
    "another name of the same store": (ANNOTATIONS, "s3a://datasets/instances.json"),
    "a web server": (ANNOTATIONS, "http://images.cocodataset.org/annotations.json"),
    "a web server with a port": (ANNOTATIONS, "https://datasets.example:8443/instances.json?version=2"),
    "a web server by its IPv6 address": (ANNOTATIONS, "http://[2001:4860:0:0:0:0:0:8888]:8080/instances.json"),
    "a member of an archive on a web server": (ANNOTATIONS, "zip://annotations/instances.json::http://images.cocodataset.org/a.zip"),
    "a member of an archive in a bucket, cached": (ANNOTATIONS, "zip://m.json::simplecache::s3://datasets/a.zip"),
    "the place that the annotations name": (IMAGES, "{coco_url}"),
    "a template of a bucket": (IMAGES, "s3://datasets/train2017/{file_name}"),
    "a template of an archive's members": (IMAGES, "zip://train2017/{file_name}::s3://datasets/train2017.zip"),
    "a folder of images": ("source.images.urls", "s3://team-a/camera-7"),
    "a glob of images": ("source.images.urls", "s3://team-a/camera-[0-9]/*.jpg"),
    "a list of images": ("source.images.urls", "https://datasets.example/urls.txt"),
    "labels of Open Images": ("source.openImages.labels", "https://storage.example/oidv7-*.csv"),
    "a mirror of Open Images": ("source.openImages.imageUrl", "s3://mirror/{subset}/{image_id}.jpg"),
    "the place that the list of images names": ("source.openImages.imageUrl", "{original_url}"),
    "a glob of records": ("positives.tfrecords", "s3://team-a/positives/*.tfrecord"),
    "a bucket to write to": (OUTPUT, "s3://team-a"),
    "a label map": ("positives.labelMap", "s3://team-a/labels.pbtxt"),
    "a checkpoint": ("training.fineTuneCheckpoint", "s3://team-a/models/ckpt-0"),
}


@pytest.mark.parametrize(("field", "url"), TAKEN.values(), ids=TAKEN.keys())
def test_the_api_server_takes(api_server, home, field, url):
    assert policies.refusal(api_server, home, with_url(field, url)) == ""


@pytest.mark.parametrize(("field", "url"), TAKEN.values(), ids=TAKEN.keys())
def test_the_jobs_open_what_the_api_server_takes(field, url):
    Access(local_files=False).check_url(re.sub(r"^{\w+_url}$", "https://images.example/1.jpg", url), field)


REFUSED = {
    "a path": (ANNOTATIONS, "/data/instances.json"),
    "a relative path": (ANNOTATIONS, "instances.json"),
    "a file URL": (ANNOTATIONS, "file:///data/instances.json"),
    "a bucket that is not named": (ANNOTATIONS, "s3:///instances.json"),
    "nothing but a scheme": (ANNOTATIONS, "s3://"),
    "a host that is not named": (ANNOTATIONS, "http://:8080/instances.json"),
    "a scheme that the administrator has not named": (ANNOTATIONS, "hdfs://datasets/instances.json"),
    "a back end that follows redirects to anywhere": (ANNOTATIONS, "webhdfs://namenode:9870/instances.json"),
    "an unknown scheme": (ANNOTATIONS, "s3x://datasets/instances.json"),
    "a space before the scheme": (ANNOTATIONS, " s3://datasets/instances.json"),
    "an archive on a disk": (ANNOTATIONS, "zip://m.json::/data/a.zip"),
    "an archive of nowhere": (ANNOTATIONS, "zip://m.json"),
    "a cache of a pod's own environment": (ANNOTATIONS, "simplecache:///proc/self/environ::file://x::http://b]"),
    "a chain that a bracket hides": (ANNOTATIONS, "simplecache::file:///etc/passwd?]"),
    "an address with the colons that chain": (ANNOTATIONS, "http://[2001:4860::8888]/instances.json"),
    "a chain in an address": (ANNOTATIONS, "http://[a::file:///etc/passwd]"),
    "a chain after an address": (ANNOTATIONS, "http://[2001:db8::1]/x::file:///etc/passwd"),
    "a chain that ends in a cache": (ANNOTATIONS, "s3://datasets/instances.json::simplecache"),
    "a local template": (IMAGES, "/data/{file_name}"),
    "a local template of an archive": (IMAGES, "{file_name}::file:///etc/passwd"),
    "a local validation set": ("selection.excludeImagesOf", "val.json"),
    "a place that cannot be written to": (OUTPUT, "https://datasets.example/out"),
    "a local place to write to": (OUTPUT, "/data/out"),
    "local COCO positives": ("positives.coco.annotations", "instances.json"),
    "local images of COCO positives": ("positives.coco.imageUrl", "/data/{file_name}"),
    "local Pascal VOC positives": ("positives.voc.annotations", "Annotations/*.xml"),
    "local images of Pascal VOC positives": ("positives.voc.imageUrl", "JPEGImages/{filename}"),
    "a local YOLO dataset": ("positives.yolo.data", "yolo/data.yaml"),
    "a local folder of images": ("source.images.urls", "/data/frames"),
    "local labels of Open Images": ("source.openImages.labels", "labels.csv"),
    "a local list of Open Images": ("source.openImages.images", "images.csv"),
    "local class names of Open Images": ("source.openImages.classDescriptions", "classes.csv"),
    "local images of Open Images": ("source.openImages.imageUrl", "/data/{image_id}.jpg"),
    "local records": ("positives.tfrecords", "/data/*.tfrecord"),
    "a local label map": ("positives.labelMap", "/proc/self/environ"),
    "a local pipeline.config": ("training.pipelineConfig.url", "file:///etc/pipeline.config"),
    "a local checkpoint": ("training.fineTuneCheckpoint", "models/ckpt-0"),
}


@pytest.mark.parametrize(("field", "url"), REFUSED.values(), ids=REFUSED.keys())
def test_the_api_server_refuses_and_names_the_field(api_server, home, field, url):
    said = policies.refusal(api_server, home, with_url(field, url))
    assert f"denied request: spec.{field}: expected a URL that begins with s3://" in said


def test_a_spec_that_is_as_large_as_the_schema_allows_does_not_cost_too_much(api_server, home):
    spec = with_url("positives.tfrecords", "s3://b/x")
    spec["positives"]["tfrecords"] = [f"s3://{'b' * 40}/{number:03}-{'x' * 1990}" for number in range(256)]
    spec["selection"]["excludeImagesOf"] = [f"zip://{'m' * 990}::s3://{'b' * 990}/{number}" for number in range(32)]
    assert policies.refusal(api_server, home, spec) == ""
    spec["positives"]["tfrecords"][-1] = "/" + "x" * 2000
    assert "spec.positives.tfrecords: expected" in policies.refusal(api_server, home, spec)


def test_a_dataset_that_was_admitted_before_can_still_be_labelled_but_not_given_another_local_path(api_server):
    namespace = api_server.namespace()
    policies.remove(api_server, namespace)
    cluster = Cluster(api_server, namespace)
    cluster.create(output={"url": "/data"})
    home = api_server.namespace(f"negset-{secrets.token_hex(4)}")
    policies.install(api_server, {"fullnameOverride": home, "crds": {"install": False}}, home, namespace)
    try:
        cluster.merge(names.API_VERSION, names.KIND, "street", {"metadata": {"labels": {"team": "a"}, "finalizers": []}})
        with pytest.raises(ApiException, match=r"spec\.output\.url"):
            cluster.change(output={"url": "/elsewhere"})
        cluster.change(output={"url": "s3://team-a/out"})
    finally:
        policies.remove(api_server, namespace)


def test_an_administrator_may_name_other_schemes_and_limit_them_to_his_namespaces(api_server):
    theirs, other, home = api_server.namespace(), api_server.namespace(), api_server.namespace(f"negset-{secrets.token_hex(4)}")
    policies.remove(api_server, other)
    values = {
        "fullnameOverride": home,
        "crds": {"install": False},
        "rbac": {"aggregatedRoles": False},
        "watchNamespaces": [theirs],
        "config": {"networks": {"schemes": ["gs"]}},
    }
    policies.install(api_server, values, home, theirs)
    try:
        gcs = {**SPEC, "source": {"coco": {"annotations": "gs://b/a.json"}}, "output": {"url": "gs://b/out"}}
        assert policies.refusal(api_server, theirs, gcs) == ""
        written = policies.refusal(api_server, theirs, {**gcs, "output": SPEC["output"]})
        assert "spec.output.url: expected a URL that begins with gs:// and names a bucket" in written
        assert policies.refusal(api_server, other, {**SPEC, "output": {"url": "/data"}}) == ""
    finally:
        policies.remove(api_server, other)
