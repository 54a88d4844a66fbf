"""The stage on real files: formats, archives, guard files, and errors for missing files."""

from __future__ import annotations

import gzip
import json
import zipfile

import msgspec
import pytest
from tests.unit.selection.files import coco, spec

from negset_api.errors import InvalidInput
from negset_api.spec import Metadata, NegativeDataset
from negset_jobs.adapters.access import Access
from negset_jobs.selection.stage import plan_stage

DOCUMENT = coco({1: ["person"], 2: ["dog"], 3: [], 4: ["cat"]})


def dataset(annotations, **kwargs) -> NegativeDataset:
    wanted = spec(**{"count": 3, **kwargs})
    coco_source = msgspec.structs.replace(wanted.source.coco, annotations=str(annotations))
    wanted = msgspec.structs.replace(wanted, source=msgspec.structs.replace(wanted.source, coco=coco_source))
    return NegativeDataset(metadata=Metadata(name="test"), spec=wanted)


def refusal(annotations, access=None, **kwargs) -> str:
    with pytest.raises(InvalidInput) as caught:
        plan_stage(dataset(annotations, **kwargs), access or Access())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path, content=None):
    path.write_bytes(json.dumps(DOCUMENT).encode() if content is None else content)
    return path


def test_plain_and_compressed_files_and_members_of_archives_give_the_same_plan(tmp_path):
    text = json.dumps(DOCUMENT).encode()
    plain = write(tmp_path / "a.json")
    compressed = write(tmp_path / "a.json.gz", gzip.compress(text))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations/a.json", text)
    plans = [
        plan_stage(dataset(url), Access()) for url in (plain, compressed, f"zip://annotations/a.json::{tmp_path}/a.zip", f"file://{plain}")
    ]
    assert plans[0].planned == 3
    assert all(plan == plans[0] for plan in plans)


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "a.json")
    monkeypatch.chdir(tmp_path)
    value = plan_stage(dataset("a.json", image_url="images/{file_name}"), Access())
    assert value.shards[0].images[0].url.startswith(f"{tmp_path}/images/")


def test_images_of_a_guard_file_are_not_used_and_it_needs_no_annotations(tmp_path):
    guard = write(tmp_path / "val.json", json.dumps({"images": [{"id": 77, "file_name": "3.jpg"}]}).encode())
    value = plan_stage(dataset(write(tmp_path / "a.json"), count=2, exclude_images_of=(str(guard),)), Access())
    assert sorted(value.image_ids) == [2, 4]


def test_a_guard_file_that_is_missing_is_named_by_its_field(tmp_path):
    guards = (str(write(tmp_path / "val.json")), str(tmp_path / "none.json"))
    message = refusal(write(tmp_path / "a.json"), exclude_images_of=guards)
    assert message == f"spec.selection.excludeImagesOf[1]: expected a readable file, {guards[1]!r} does not exist"


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.json"
    assert refusal(path) == f"spec.source.coco.annotations: expected a readable file, {str(path)!r} does not exist"


def test_an_empty_file_is_named(tmp_path):
    path = write(tmp_path / "a.json", b"")
    assert (
        refusal(path)
        == f"spec.source.coco.annotations: {str(path)!r} is not valid JSON: the file is empty at byte 0; the file is incomplete, copy or download it again"
    )


@pytest.mark.parametrize("damage", ["cut short", "damaged"])
def test_a_broken_archive_is_refused(tmp_path, damage):
    data = bytearray(gzip.compress(json.dumps(coco({number: ["dog"] for number in range(1000)})).encode()))
    if damage == "damaged":
        data[-6] ^= 0xFF  # the checksum, which is only verified at the end
    else:
        del data[-100:]
    path = write(tmp_path / "a.json.gz", bytes(data))
    assert refusal(path).startswith(f"spec.source.coco.annotations: cannot read {str(path)!r}: ")


def test_local_images_are_refused_on_a_cluster():
    access = Access(local_files=False)
    import fsspec

    with fsspec.open("memory://selection/a.json", "wb") as stream:
        stream.write(json.dumps(DOCUMENT).encode())
    assert plan_stage(dataset("memory://selection/a.json"), access).planned == 3
    message = refusal("memory://selection/a.json", access, image_url="/data/{file_name}")
    assert message.startswith("spec.source.coco.imageUrl: expected an http(s) or object storage URL, got the local path '/data/")


def test_addresses_of_an_unknown_kind_are_refused(tmp_path):
    document = coco({1: [], 2: []}, coco_url="gopher://h.test/x.jpg")
    message = refusal(write(tmp_path / "a.json", json.dumps(document).encode()), count=1)
    assert message.startswith("spec.source.coco.imageUrl: expected a URL with a known scheme (")
    assert "got 'gopher' in" in message


def test_one_image_whose_name_or_address_cannot_be_used_is_planned_like_the_others(tmp_path):
    document = coco({1: [], 2: [], 3: []})
    document["images"][0]["file_name"] = "cam1::1.jpg"
    document["images"][1]["file_name"] = "gopher://h.test/x.jpg"
    path = write(tmp_path / "a.json", json.dumps(document).encode())
    value = plan_stage(dataset(path, image_url="s3://bucket/{file_name}"), Access())
    assert value.planned == 3
