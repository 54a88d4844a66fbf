"""The candidates are those that pycocotools finds.

They are all images without the union of the images that show each excluded class.
"""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from negset_api.errors import InvalidInput
from negset_api.spec import CocoSource, Metadata, NegativeDataset, NegativeDatasetSpec, Output, Selection, Source
from negset_api.values import Plan
from negset_jobs.adapters.access import Access
from negset_jobs.formats.class_names import key
from negset_jobs.selection.stage import plan_stage

TEN_CLASSES = ("person", "car", "chair", "book", "bottle", "cup", "dining table", "traffic light", "dog", "cat")


def oracle(path: pathlib.Path, excluded: tuple[str, ...]) -> set[int]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        # getImgIds(catIds=[a, b]) is the intersection; what must go is the union.
        shown = [coco.getImgIds(catIds=[category]) for category in coco.getCatIds(catNms=list(excluded))]
    return set(coco.getImgIds()).difference(*shown)


def plan(path: pathlib.Path, excluded: tuple[str, ...], **selection) -> Plan:
    spec = NegativeDatasetSpec(
        source=Source(coco=CocoSource(annotations=str(path), image_url="http://images.test/{file_name}")),
        exclude_classes=excluded,
        selection=Selection(**selection),
        output=Output(url="out"),
    )
    return plan_stage(NegativeDataset(metadata=Metadata(name="oracle"), spec=spec), Access())


@pytest.mark.parametrize("excluded", [TEN_CLASSES[:1], TEN_CLASSES[:2], TEN_CLASSES], ids=["1 class", "2 classes", "10 classes"])
@pytest.mark.parametrize("strategy", ["Stratified", "Random"])
def test_the_candidates_on_real_annotations_are_those_of_pycocotools(coco_mini, excluded, strategy):
    path = coco_mini / "annotations" / "instances_train2017.json"
    expected = oracle(path, excluded)
    everything = plan(path, excluded, count=80, allow_fewer=True, strategy=strategy)
    assert set(everything.image_ids) == expected
    assert everything.candidates == everything.planned == len(expected)
    half = plan(path, excluded, count=len(expected) // 2, strategy=strategy)
    assert half.image_ids == everything.image_ids[: len(expected) // 2]
    assert plan(path, excluded, count=80, allow_fewer=True, strategy=strategy) == everything


# pycocotools takes names that differ in their case only for two classes.
names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique_by=key)
segmentations = st.one_of(
    st.lists(st.lists(st.floats(0, 640), min_size=6, max_size=8), max_size=2),
    st.fixed_dictionaries({"counts": st.lists(st.integers(0, 99), max_size=5), "size": st.just([480, 640])}),
    st.fixed_dictionaries({"counts": st.text(alphabet='}{,[]"\\01', max_size=8), "size": st.just([480, 640])}),
)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict, tuple[str, ...]]:
    """A COCO file and some of its classes.

    Annotations may be crowds, repeat, and name images that are not listed.
    """
    classes = draw(names)
    category_ids = draw(st.lists(st.integers(0, 10**6), min_size=len(classes), max_size=len(classes), unique=True))
    image_ids = draw(st.lists(st.integers(0, 2**62), min_size=1, max_size=15, unique=True))
    shown = draw(
        st.lists(
            st.tuples(st.sampled_from([*image_ids, 2**62 + 7]), st.sampled_from(category_ids), st.booleans(), segmentations), max_size=30
        )
    )
    document = {
        "images": [{"id": number, "file_name": f"{number}.jpg", "height": 1, "width": 1} for number in image_ids],
        "annotations": [
            {
                "segmentation": segmentation,
                "iscrowd": int(crowd),
                "image_id": image,
                "category_id": category,
                "id": index + 1,
                "area": 1,
                "bbox": [0, 0, 1, 1],
            }
            for index, (image, category, crowd, segmentation) in enumerate(shown)
        ],
        "categories": [{"id": number, "name": name, "supercategory": "all"} for number, name in zip(category_ids, classes, strict=True)],
    }
    keys = draw(st.permutations(list(document)))
    excluded = draw(st.lists(st.sampled_from(classes), min_size=1, max_size=10, unique=True))
    return {key: document[key] for key in keys}, tuple(excluded)


@contextlib.contextmanager
def only_distinct_classes() -> Iterator[None]:
    """Discard a file with classes that negset asks about: 'O' may be 'Ò'."""
    try:
        yield
    except InvalidInput as error:
        if "a decision about classes" in str(error):
            reject()
        raise


@settings(max_examples=150)
@given(file=files(), indent=st.sampled_from([None, 2]), seed=st.integers(0, 2**31 - 1), strategy=st.sampled_from(["Stratified", "Random"]))
def test_the_candidates_on_any_file_are_those_of_pycocotools(file, indent, seed, strategy):
    document, excluded = file
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "instances.json"
        path.write_text(json.dumps(document, indent=indent))
        expected = oracle(path, excluded) - {2**62 + 7}
        # A file without annotations of its images needs the user's word.
        listed = {image["id"] for image in document["images"]}
        annotated = any(annotation["image_id"] in listed for annotation in document["annotations"])
        word = {} if annotated else {"minimum_proof": "UserWord"}
        if not expected:
            with pytest.raises(InvalidInput, match=r"0 are candidates|a decision about classes"):
                plan(path, excluded, count=1, seed=seed, strategy=strategy, **word)
            return
        with only_distinct_classes():
            everything = plan(path, excluded, count=len(expected), seed=seed, strategy=strategy, **word)
        assert set(everything.image_ids) == expected
        for count in range(1, len(expected)):
            assert plan(path, excluded, count=count, seed=seed, strategy=strategy, **word).image_ids == everything.image_ids[:count]
