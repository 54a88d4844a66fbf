"""The CSV files of Open Images, in the spellings of its releases."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest

from negset_api.errors import InvalidInput
from negset_jobs.formats import open_images
from negset_jobs.formats.open_images import ImageClass, LabelReader, ListedImage, image_id, keys_of, read_classes, read_list

CLASSES = [ImageClass("/m/01g317", "Person"), ImageClass("/m/0k4j", "Car"), ImageClass("/m/0bt9lr", "Dog")]
HEADER = "ImageID,Source,LabelName,Confidence\n"
A, B = "000026e7ee790996", "ffffe7ee79099600"


def classes_of(text: str) -> list[ImageClass]:
    return read_classes(io.BufferedReader(io.BytesIO(text.encode("utf-8"))), field="f", url="u")


def labels_of(*rows: str, header=HEADER, excluded=(0, 1)) -> dict[str, set[tuple[str, str]]]:
    """The pairs of ImageID and DisplayName that are absent, and those that are present."""
    reader = LabelReader(CLASSES, frozenset(excluded))
    reader.read(io.BufferedReader(io.BytesIO((header + "".join(f"{row}\n" for row in rows)).encode())), field="f", url="u")
    labels = reader.labels()
    return {
        kind: {(image_id(key, labels.names), CLASSES[number].name) for key, number in zip(*(part.tolist() for part in pairs), strict=True)}
        for kind, pairs in (("absent", labels.absent), ("present", labels.present))
    }


@pytest.mark.parametrize("header", ["LabelName,DisplayName\n", "\ufeffLabelName,DisplayName\n", ""])
def test_classes_are_read_with_and_without_a_header(header):
    assert classes_of(header + '/m/0k4j,Car\r\n/m/x,"Bow, and arrow"\n') == [
        ImageClass("/m/0k4j", "Car"),
        ImageClass("/m/x", "Bow, and arrow"),
    ]


def test_classes_of_an_exporter_have_their_name_twice():
    assert classes_of("person,person\ndining table,dining table\n") == [
        ImageClass("person", "person"),
        ImageClass("dining table", "dining table"),
    ]


@pytest.mark.parametrize("text", ["", "LabelName,DisplayName\n", "/m/0k4j\n", "a,b\nc,d\n", "{}"])
def test_another_file_in_place_of_the_classes_is_refused(text):
    with pytest.raises(InvalidInput, match="expected rows of LabelName and DisplayName"):
        classes_of(text)


@pytest.mark.parametrize(
    ("row", "absent", "present"),
    [
        pytest.param(f"{A},verification,/m/0k4j,0", {(A, "Car")}, set(), id="verified to be absent"),
        pytest.param(f"{A},verification,/m/0k4j,0.0", {(A, "Car")}, set(), id="with a decimal point"),
        pytest.param(f"{A},crowdsource-verification,/m/0k4j,0", {(A, "Car")}, set(), id="by a crowd"),
        pytest.param(f"{A},verification,/m/0k4j,1", set(), {(A, "Car")}, id="verified to be present"),
        pytest.param(f"{A},machine,/m/0k4j,0", set(), set(), id="a machine verifies nothing"),
        pytest.param(f"{A},machine,/m/0k4j,0.9", set(), set(), id="not even with a high score"),
        pytest.param(f"{A},verification,/m/0bt9lr,0", set(), set(), id="of a class that is not excluded, absence means nothing"),
        pytest.param(f"{A},verification,/m/0bt9lr,1", set(), {(A, "Dog")}, id="but presence is known"),
        pytest.param(f"{A},verification,/m/other,1", set(), set(), id="a class without a description"),
        pytest.param(f"{A},verification,/m/0k4j,", set(), set(), id="no confidence"),
        pytest.param(f"{A},verification,/m/0k4j,no", set(), set(), id="a confidence that is no number"),
        pytest.param(f"{A},verification,/m/0k4j", set(), set(), id="a row that is cut"),
        pytest.param("img-é,verification,/m/0k4j,0", {("img-é", "Car")}, set(), id="an id of another form"),
        pytest.param("00AB26e7ee790996,verification,/m/0k4j,0", {("00AB26e7ee790996", "Car")}, set(), id="digits in capitals"),
    ],
)
def test_a_row_of_labels(row, absent, present):
    assert labels_of(row) == {"absent": absent, "present": present}


def test_columns_are_found_by_their_names():
    found = labels_of(f"0,/m/0k4j,x,{A}", header="Confidence,LabelName,Extra,ImageID\n")
    assert found["absent"] == {(A, "Car")}


def test_labels_are_the_same_in_blocks_of_any_size(monkeypatch):
    rows = [f"{number:016x},verification,{CLASSES[number % 3].label},{number // 3 % 2}" for number in range(5000)]
    whole = labels_of(*rows)
    monkeypatch.setattr(open_images, "_BLOCK", 4096)
    assert labels_of(*rows) == whole
    assert len(whole["present"]) == 2499


@pytest.mark.parametrize(
    "header", ["", "id,label\n", "ImageID,Source,LabelName\n", "ImageID,ImageID,LabelName,Confidence\n", '{"images": []}\n', "\xff\xfe\n"]
)
def test_another_file_in_place_of_the_labels_is_refused(header):
    with pytest.raises(InvalidInput, match="expected a CSV file whose first line has the columns ImageID, LabelName, Confidence"):
        labels_of(header=header)


def test_a_list_of_images_gives_the_wanted_ones_and_titles_may_have_line_breaks():
    text = (
        "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation\n"
        f'{A},train,https://f.example/a_o.jpg,https://f.example/a,https://l.example/by,p,"Au, ""x""","two\nlines, one",1,m,https://f.example/a_z.jpg,0.0\n'
        f"{B},train,https://f.example/b_o.jpg,https://f.example/b,https://l.example/by,p,Au,t,1,m,,\n"
    )
    rows = read_list(io.BufferedReader(io.BytesIO(text.encode())), np.array([0x26E7EE790996], np.uint64), field="f", url="u")
    assert list(rows) == [
        ListedImage(A, "train", "https://f.example/a_o.jpg", "https://f.example/a", "https://l.example/by", "https://f.example/a_z.jpg")
    ]


def test_a_list_may_have_the_ids_alone():
    stream = io.BufferedReader(io.BytesIO(f"ImageID\n{A}\n{B}\n".encode()))
    wanted = np.array([0x26E7EE790996, 0xFFFFE7EE79099600], np.uint64)
    assert [row.image_id for row in read_list(stream, wanted, field="f", url="u")] == [A, B]


def test_a_key_and_its_image_id_are_each_others_inverse():
    names: dict[int, str] = {}
    given = [A, B, "0", "", "0" * 16, "g" * 16, "a" * 17]
    assert [image_id(key, names) for key in keys_of(pa.array(given), names).tolist()] == given
    assert len({*keys_of(pa.array(given), {}).tolist()}) == len(given)
