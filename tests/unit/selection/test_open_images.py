"""Open Images as a source, from its files to a plan."""

from __future__ import annotations

import csv

import msgspec
import pytest
from tests.unit.selection.files import spec

from negset_api.errors import InvalidInput
from negset_api.spec import Metadata, NegativeDataset, OpenImagesSource, Source
from negset_api.values import License
from negset_jobs.adapters.access import Access
from negset_jobs.selection.stage import plan_stage

CLASSES = "LabelName,DisplayName\n/m/01g317,Person\n/m/0k4j,Car\n/m/0bt9lr,Dog\n/m/04yx4,Man\n"
LABEL = {"Person": "/m/01g317", "Car": "/m/0k4j", "Dog": "/m/0bt9lr", "Man": "/m/04yx4"}
COLUMNS = ("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "Thumbnail300KURL")
BY = "https://creativecommons.org/licenses/by/2.0/"


def image(number: int) -> str:
    return f"{number:016x}"


def write(folder, labels, *, listed=None):
    """`labels` are rows of the number of an image, a class and a confidence."""
    (folder / "classes.csv").write_text(CLASSES)
    rows = "".join(f"{image(number)},verification,{LABEL[name]},{confidence}\n" for number, name, confidence in labels)
    (folder / "labels.csv").write_text(f"ImageID,Source,LabelName,Confidence\n{rows}")
    with (folder / "images.csv").open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number in listed if listed is not None else sorted({number for number, _, _ in labels}):
            name = image(number)
            writer.writerow([name, "train", f"https://f.example/{name}_o.jpg", f"https://f.example/{name}", BY, ""])


def plan(folder, exclude=("Person", "Car"), *, images=True, image_url="{original_url}", access=None, **selection):
    source = OpenImagesSource(
        labels=(str(folder / "labels*.csv"),),
        class_descriptions=str(folder / "classes.csv"),
        images=(str(folder / "images.csv"),) if images else (),
        image_url=image_url,
    )
    wanted = msgspec.structs.replace(spec(exclude, **selection), source=Source(open_images=source))
    return plan_stage(NegativeDataset(metadata=Metadata(name="test"), spec=wanted), access or Access())


def urls(value):
    return {image.url for shard in value.shards for image in shard.images}


BOTH = [(number, name, 0) for number in (1, 2, 3, 4) for name in ("Person", "Car")]


def test_an_image_that_shows_a_man_is_no_negative_for_persons_whatever_was_verified(tmp_path, caplog):
    write(tmp_path, [*((number, "Person", 0) for number in (1, 2, 3)), (1, "Man", 1), (2, "Dog", 1)])
    value = plan(tmp_path, ["Person"], count=3, allow_fewer=True)
    assert (value.planned, value.rejected) == (2, {"excluded_class": 1})
    assert "spec.excludeClasses: images that show 'Man' are left out, too; see spec.selection.allowClasses" in caplog.messages
    assert plan(tmp_path, ["Person"], count=3, allow_classes=("Man",)).planned == 3


def test_a_class_may_be_allowed_that_no_image_shows(tmp_path):
    write(tmp_path, [(1, "Person", 0)])
    assert plan(tmp_path, ["Person"], allow_classes=("Man",)).planned == 1


def test_an_image_is_a_negative_only_if_each_excluded_class_is_verified_absent(tmp_path):
    write(tmp_path, [(1, "Person", 0), (1, "Car", 0), (2, "Person", 0), (3, "Person", 1), (3, "Car", 0), (4, "Dog", 1)])
    value = plan(tmp_path)
    assert urls(value) == {"https://f.example/0000000000000001_o.jpg"}
    # Of image 4 no excluded class is known, so it is not among the images of the source.
    assert value.rejected == {"excluded_class": 1, "not_verified": 1}
    assert value.proofs == {"VerifiedAbsent": 1}


def test_if_people_disagree_the_class_may_be_there(tmp_path):
    write(tmp_path, [*BOTH, (1, "Car", 1)])
    assert plan(tmp_path).rejected == {"excluded_class": 1}


def test_the_classes_that_remain_and_the_licences_are_known(tmp_path):
    write(tmp_path, [*BOTH, (1, "Dog", 1), (2, "Dog", 1), (3, "Dog", 0)])
    value = plan(tmp_path, count=4)
    assert value.remaining_classes == {"Dog": 2}
    assert value.excluded_classes == ("Person", "Car")
    assert set(value.categories.values()) == {"Person", "Car", "Dog"}
    assert value.licenses == (License(id=1, name=BY, url=BY, images=4),)
    (first, *_) = value.shards[0].images
    assert first.page == first.url.removesuffix("_o.jpg")


def test_a_class_is_excluded_by_its_label_too(tmp_path):
    write(tmp_path, BOTH)
    assert plan(tmp_path, ["/m/01g317", "Car"], count=4).image_ids == plan(tmp_path, count=4).image_ids


def test_only_listed_images_are_candidates(tmp_path):
    write(tmp_path, BOTH, listed=[2, 3, 9])
    assert plan(tmp_path, count=2).candidates == 2


def test_without_lists_the_labels_name_the_images(tmp_path):
    write(tmp_path, BOTH)
    value = plan(tmp_path, images=False, image_url="s3://mirror/train/{image_id}.jpg", count=4)
    assert urls(value) == {f"s3://mirror/train/{image(number)}.jpg" for number in (1, 2, 3, 4)}
    assert [each.name for each in value.licenses] == ["not stated"]


def test_an_image_has_the_same_id_from_every_place(tmp_path):
    write(tmp_path, BOTH)
    ids = [plan(tmp_path, count=4, image_url=template).image_ids for template in ("{original_url}", "s3://m/{subset}/{image_id}.jpg")]
    assert ids[0] == ids[1]


def test_images_without_the_column_of_the_template_are_left_out(tmp_path, caplog):
    write(tmp_path, BOTH)
    text = (tmp_path / "images.csv").read_text().replace("https://f.example/0000000000000001_o.jpg", "")
    (tmp_path / "images.csv").write_text(text)
    assert plan(tmp_path, count=3).candidates == 3
    assert "1 images have no value for a placeholder of '{original_url}'" in caplog.text


def test_labels_may_come_in_several_files_in_any_order(tmp_path):
    write(tmp_path, [*BOTH, (2, "Person", 1)])
    whole = plan(tmp_path, count=3)
    header, *rows = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows[::2]]))
    (tmp_path / "labels-2.csv").write_text("\n".join([header, *reversed(rows[1::2])]))
    assert plan(tmp_path, count=3).image_ids == whole.image_ids


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (["Persn"], "(did you mean 'Person'?)"),
        (["Dog"], "expected images with a human-verified label of an excluded class, found none among 0 images with such a label"),
        (
            ["Person", "Car"],
            "1 lack the verification that each excluded class is absent; an excluded class is known to be absent only where a label with Confidence 0 says so: 'Person' in 2, 'Car' in 2, all of them in 1",
        ),
    ],
)
def test_the_refusal_says_why_and_how_many(tmp_path, exclude, message):
    write(tmp_path, [(1, "Person", 0), (1, "Car", 0), (2, "Person", 0), (3, "Person", 1), (3, "Car", 0)])
    with pytest.raises(InvalidInput) as caught:
        plan(tmp_path, exclude, count=5)
    assert message in str(caught.value)


def test_the_fields_of_files_that_are_missing_are_named(tmp_path):
    write(tmp_path, BOTH)
    (tmp_path / "images.csv").unlink()
    with pytest.raises(InvalidInput, match=r"^spec\.source\.openImages\.images\[0\]: expected a readable file"):
        plan(tmp_path)
    (tmp_path / "classes.csv").unlink()
    with pytest.raises(InvalidInput, match=r"^spec\.source\.openImages\.classDescriptions: expected a readable file"):
        plan(tmp_path)


def test_local_images_are_refused_on_a_cluster(tmp_path):
    write(tmp_path, BOTH)
    with pytest.raises(InvalidInput, match=r"local paths work on a laptop only"):
        plan(tmp_path, access=Access(local_files=False))


def test_lists_without_the_column_of_any_url_are_told_to_set_the_location(tmp_path):
    write(tmp_path, BOTH)
    with pytest.raises(InvalidInput, match=r"^spec.source.openImages.imageUrl: none of the 4 images has a value .*; set imageUrl to"):
        plan(tmp_path, image_url="{thumbnail_url}")
