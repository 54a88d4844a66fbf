"""Reading one Pascal VOC file."""

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import VocPositives
from negset_jobs.adapters.access import Access
from negset_jobs.positives.annotated import usable_boxes
from negset_jobs.positives.boxes import Corners
from negset_jobs.positives.voc import parse_voc, read_voc

FILE = """<annotation>
  <folder>VOC2012</folder>
  <filename>2007_000027.jpg</filename>
  <size><width>486</width><height>500</height><depth>3</depth></size>
  <segmented>0</segmented>
  <object>
    <name>person</name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>
    <bndbox><xmin>174</xmin><ymin>101</ymin><xmax>349</xmax><ymax>351</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>169</xmin><ymin>104</ymin><xmax>209</xmax><ymax>146</ymax></bndbox></part>
  </object>
  <object>
    <name>car</name><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>486</xmax><ymax>500</ymax></bndbox>
  </object>
</annotation>"""


def test_the_fields_of_a_file():
    file = parse_voc(FILE.encode(), "a.xml")
    assert (file.file_name, file.width, file.height) == ("2007_000027.jpg", 486, 500)
    assert [(item.class_name, item.truncated, item.difficult, item.crowd) for item in file.objects] == [
        ("person", True, False, False),
        ("car", False, True, False),
    ]


def test_a_class_is_found_in_another_spelling_and_named_as_in_the_manifest(tmp_path):
    (tmp_path / "a.xml").write_text(FILE.replace("<name>person<", "<name> Per_Son <"))
    source = VocPositives(annotations=str(tmp_path / "*.xml"), image_url="https://example.org/{filename}")
    (image,) = read_voc(source, frozenset({"person"}), Access()).images
    assert [box.class_name for box in image.objects] == ["person"]


def test_a_box_includes_its_first_and_its_last_pixel():
    assert parse_voc(FILE.encode(), "a.xml").objects[0].corners == Corners(ymin=100, xmin=173, ymax=351, xmax=349)


def test_a_box_from_the_first_to_the_last_pixel_is_the_whole_image():
    file = parse_voc(FILE.encode(), "a.xml")
    (box,), rejected = usable_boxes(file.objects[1:], image_id="a", file_name="a", height=file.height, width=file.width)
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0, 0, 1, 1)
    assert (box.difficult, box.truncated) == (True, False)
    assert not rejected


ODD_BUT_READ = {
    "fractions of a pixel": ("<xmin>174</xmin>", "<xmin>174.5</xmin>", Corners(100, 173.5, 351, 349)),
    "counted from 0": ("<xmin>174</xmin>", "<xmin>0</xmin>", Corners(100, -1, 351, 349)),
    "spaces around a number": ("<xmin>174</xmin>", "<xmin> 174\n</xmin>", Corners(100, 173, 351, 349)),
    "a missing corner": ("<xmin>174</xmin>", "", None),
    "a corner that is no number": ("<xmin>174</xmin>", "<xmin>left</xmin>", None),
    "no box at all": ("<bndbox><xmin>174</xmin><ymin>101</ymin><xmax>349</xmax><ymax>351</ymax></bndbox>", "", None),
}


@pytest.mark.parametrize(("old", "new", "corners"), ODD_BUT_READ.values(), ids=ODD_BUT_READ)
def test_odd_boxes_are_read_or_left_to_be_rejected(old, new, corners):
    assert parse_voc(FILE.replace(old, new).encode(), "a.xml").objects[0].corners == corners


def test_a_file_without_objects_has_none():
    file = parse_voc(b"<annotation><filename>a.jpg</filename><size><width>4</width><height>3</height></size></annotation>", "a.xml")
    assert file.objects == ()


BROKEN = {
    "not XML": (FILE, "person", "a.xml is not readable XML: syntax error: line 1, column 0"),
    "cut off": (FILE, FILE[:200], "a.xml is not readable XML: "),
    "another document": (FILE, "<html></html>", "a.xml: expected Pascal VOC's <annotation> as the outermost element, found another"),
    "entities": (
        "<annotation>",
        '<!DOCTYPE a [<!ENTITY lol "lol">]><annotation>&lol;',
        "a.xml is not readable XML: EntitiesForbidden",
    ),
    "no file name": ("<filename>2007_000027.jpg</filename>", "", "a.xml: expected a value in <filename> of <annotation>, found none"),
    "an empty file name": ("2007_000027.jpg", " ", "a.xml: expected a value in <filename> of <annotation>, found none"),
    "no size": ("<width>486</width>", "", "a.xml: expected a value in <size/width> of <annotation>, found none"),
    "a width of 0": ("<width>486<", "<width>0<", "a.xml: expected a number of pixels of at least 1 in <size/width>, found something else"),
    "a width that is no number": (
        "<width>486<",
        "<width>wide<",
        "a.xml: expected a number of pixels of at least 1 in <size/width>, found something else",
    ),
    "a width without end": (
        "<width>486<",
        "<width>inf<",
        "a.xml: expected a number of pixels of at least 1 in <size/width>, found something else",
    ),
    "an object without a name": ("<name>car</name>", "", "a.xml: expected a value in <name> of <object>, found none"),
    "an odd flag": ("<difficult>1<", "<difficult>very<", "a.xml: expected 0 or 1 in <difficult> of <object>, found something else"),
}


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_was_expected(old, new, message):
    with pytest.raises(InvalidInput) as caught:
        parse_voc(FILE.replace(old, new).encode(), "a.xml")
    assert str(caught.value).startswith(f"spec.positives.voc.annotations: {message}")
    assert "\n" not in str(caught.value)
