"""A dataset is edited several times, on a real S3 server, and its data job trims old revisions."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.image_server import image_server, jpeg
from tests.s3_server import s3_server

from negset_api import names, validation
from negset_api.revision import revision
from negset_jobs import cli
from negset_jobs.adapters.store import Store
from negset_jobs.commands import job

IMAGES = 8


def manifest(bucket: str, count: int) -> dict[str, Any]:
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": "team-a", "uid": "1111"},
        "spec": {
            "source": {"coco": {"annotations": f"s3://{bucket}/instances.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": count},
            "output": {"url": f"s3://{bucket}/negatives", "revisionHistoryLimit": 1},
            "ray": {"workers": 1},
        },
    }
    # As the operator writes it.
    document["metadata"]["annotations"] = {names.LABEL_REVISION: revision(validation.parse(document).spec)}
    return document


def annotations(urls: list[str]) -> bytes:
    images = [{"id": n, "file_name": f"{n}.jpg", "coco_url": url, "width": 64, "height": 48} for n, url in enumerate(urls)]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
    boxes = [{"id": n, "image_id": n, "category_id": 2, "bbox": [1, 1, 9, 9], "iscrowd": 0} for n in range(len(urls))]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories}).encode()


def test_with_a_limit_of_1_the_present_revision_and_the_one_before_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "_status_writer", lambda *_: None)
    with s3_server() as s3, image_server() as web:
        bucket = Store(f"s3://{s3.bucket}")
        bucket.write("instances.json", annotations([web.serve(f"/{n}.jpg", jpeg(n)) for n in range(IMAGES)]))
        root = Store(names.dataset_root(f"s3://{s3.bucket}/negatives", "team-a", "street"))
        root.write("0123456789ab/records/theirs.tfrecord", b"x")
        folders, stays = [], []
        for count in (2, 4, 6, IMAGES):
            document = manifest(s3.bucket, count)
            path = tmp_path / "dataset.yaml"
            path.write_text(json.dumps(document))
            words = ["job", "data", "--file", str(path), "--cluster", "--allow-address", "127.0.0.1/32", "--allow-store", "127.0.0.0/8"]
            time.sleep(1.1)  # S3's times are whole seconds, and revisions of the same second stay together
            assert cli.main(words) == 0
            folders.append(document["metadata"]["annotations"][names.LABEL_REVISION])
            stays.append([folder for folder in folders if root.child(folder).keys()])
        assert stays == [folders[:1], folders[:2], folders[1:3], folders[2:]]
        assert all(root.child(folder).exists(names.REPORT) for folder in folders[2:])
        assert root.read("0123456789ab/records/theirs.tfrecord") == b"x"
        assert set(web.requests.values()) == {1}, "what an earlier revision had is copied, also from one that goes afterwards"
    said = [line for line in capsys.readouterr().err.splitlines() if "revisionHistoryLimit" in line]
    assert len(said) == 4
    assert "removed 1 earlier revisions, kept 1, skipped 1" in said[-1]
