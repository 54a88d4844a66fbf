"""Reading one Pascal VOC file."""

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import VocPositives
from negset_jobs.adapters.access import Access
from negset_jobs.formats.boxes import Corners, Reason
from negset_jobs.positives.annotated import planned_images, usable_boxes
from negset_jobs.positives.units import Unit
from negset_jobs.positives.voc import InvalidFile, parse_voc, read_voc

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
    file = parse_voc(FILE.encode())
    assert (file.file_name, file.width, file.height) == ("2007_000027.jpg", 486, 500)
    assert [(item.class_name, item.truncated, item.difficult, item.crowd) for item in file.objects] == [
        ("person", True, False, False),
        ("car", False, True, False),
    ]


def test_a_class_is_found_in_another_spelling_and_named_as_in_the_manifest(tmp_path):
    (tmp_path / "a.xml").write_text(FILE.replace("<name>person<", "<name> Per_Son <"))
    source = VocPositives(annotations=str(tmp_path / "*.xml"), image_url="https://example.org/{filename}")
    (image,) = read_voc(source, frozenset({"person"}), Access()).images
    assert [item.class_name for item in image.annotations] == ["person"]


def test_a_document_with_a_namespace_is_read_as_one_without():
    assert parse_voc(FILE.replace("<annotation>", '<annotation xmlns="http://example.com">').encode()) == parse_voc(FILE.encode())


def test_a_box_includes_its_first_and_its_last_pixel():
    assert parse_voc(FILE.encode()).objects[0].corners == Corners(ymin=100, xmin=173, ymax=351, xmax=349)


def test_a_box_from_the_first_to_the_last_pixel_is_the_whole_image():
    file = parse_voc(FILE.encode())
    (box,), rejected = usable_boxes(file.objects[1:], Unit.PIXELS, image_id="a", file_name="a", height=file.height, width=file.width)
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
    assert parse_voc(FILE.replace(old, new).encode()).objects[0].corners == corners


def test_a_file_without_objects_has_none():
    file = parse_voc(b"<annotation><filename>a.jpg</filename><size><width>4</width><height>3</height></size></annotation>")
    assert file.objects == ()


BROKEN = {
    "not XML": (FILE, "person", "is not readable XML: syntax error: line 1, column 0"),
    "cut off": (FILE, FILE[:200], "is not readable XML: "),
    "another document": (FILE, "<html></html>", "is not in Pascal VOC's format: it is a web page (HTML)"),
    "XML of another kind": (
        FILE,
        "<Annotation></Annotation>",
        "is not in Pascal VOC's format: expected <annotation> as the outermost element, found another",
    ),
    "an export of CVAT in its own format": (
        FILE,
        "<annotations><version>1.1</version></annotations>",
        "is not in Pascal VOC's format: it is an export of CVAT (XML)",
    ),
    "an annotation of labelme": (FILE, '{"version": "5.0.1", "shapes": []}', "is JSON; give COCO's format as spec.positives.coco"),
    "entities": ("<annotation>", '<!DOCTYPE a [<!ENTITY lol "lol">]><annotation>&lol;', "is not readable XML: EntitiesForbidden"),
    "no file name": ("<filename>2007_000027.jpg</filename>", "", "does not name its image"),
    "an empty file name": ("2007_000027.jpg", " ", "does not name its image"),
}


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_says_what_was_expected(old, new, message):
    with pytest.raises(InvalidFile) as caught:
        parse_voc(FILE.replace(old, new).encode())
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


SIZES = {
    "no size": ("<size><width>486</width><height>500</height><depth>3</depth></size>", ""),
    "no width": ("<width>486</width>", ""),
    "a width of 0": ("<width>486<", "<width>0<"),
    "a width that is no number": ("<width>486<", "<width>wide<"),
    "a width without end": ("<width>486<", "<width>inf<"),
}


@pytest.mark.parametrize(("old", "new"), SIZES.values(), ids=SIZES)
def test_a_file_without_a_usable_size_leaves_it_to_the_image(old, new):
    file = parse_voc(FILE.replace(old, new).encode())
    assert (file.width, file.height, len(file.objects)) == (0, 0, 2)


FLAGS = {"0": False, "1": True, "": False, "true": True, "Yes": True, "Unspecified": False, "-1": False, "1.0": True}


@pytest.mark.parametrize(("text", "flag"), FLAGS.items())
def test_a_flag_in_any_words_is_read(text, flag):
    assert parse_voc(FILE.replace("<difficult>1<", f"<difficult>{text}<").encode()).objects[1].difficult is flag


@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "shift_jis", "utf-8", "iso-8859-15"])
def test_a_class_is_read_in_the_encoding_that_the_file_declares(encoding):
    name = "café" if encoding == "iso-8859-15" else "人"
    text = f"<?xml version='1.0' encoding='{encoding}'?>" + FILE.replace("person", name)
    assert parse_voc(text.encode(encoding)).objects[0].class_name == name


FILE_NAMES = {
    ("a.jpg", "C:\\x\\b.jpg"): "a.jpg",
    ("a", "C:\\x\\a.jpg"): "a.jpg",
    ("a.b", "/x/a.b.jpg"): "a.b",
    ("C:\\x\\a.jpg", ""): "a.jpg",
    ("/home/x/a.jpg", ""): "a.jpg",
    ("train/a.jpg", ""): "train/a.jpg",
    ("a", "/x/b.jpg"): "a",
}


@pytest.mark.parametrize(("written", "name"), FILE_NAMES.items())
def test_the_name_of_the_file_is_found_among_what_tools_write(written, name):
    text = FILE.replace("<filename>2007_000027.jpg</filename>", f"<filename>{written[0]}</filename><path>{written[1]}</path>")
    assert parse_voc(text.encode()).file_name == name


def test_the_path_of_another_machine_names_the_image_where_filename_does_not():
    text = FILE.replace("<filename>2007_000027.jpg</filename>", "<filename/><path>C:\\images\\2007_000027.jpg</path>")
    assert parse_voc(text.encode()).file_name == "2007_000027.jpg"


def test_a_box_drawn_from_another_side_is_the_same_box():
    text = FILE.replace("<xmin>174</xmin>", "<xmin>349</xmin>").replace("<xmax>349</xmax>", "<xmax>174</xmax>")
    assert parse_voc(text.encode()).objects[0].corners == parse_voc(FILE.encode()).objects[0].corners


OUTLINES = {
    "a turned box of roLabelImg": (
        "<robndbox><cx>100.0</cx><cy>50.0</cy><w>40.0</w><h>20.0</h><angle>1.5707963267948966</angle></robndbox>",
        (30, 90, 70, 110),
    ),
    "a turned box that is not turned": (
        "<robndbox><cx>100</cx><cy>50</cy><w>40</w><h>20</h><angle>0.0</angle></robndbox>",
        (40, 80, 60, 120),
    ),
    "a turned box by a sixth of a turn": (
        "<robndbox><cx>100</cx><cy>100</cy><w>40</w><h>0.0</h><angle>1.0471975511965976</angle></robndbox>",
        (82.679, 90, 117.321, 110),
    ),
    "an angle in degrees": ("<robndbox><cx>100</cx><cy>50</cy><w>40</w><h>20</h><angle>90</angle></robndbox>", None),
    "a turned box by its corners, as in DIOR-R": (
        (
            "<robndbox><x_left_top>10</x_left_top><y_left_top>20</y_left_top><x_right_top>60</x_right_top><y_right_top>5</y_right_top>"
            "<x_right_bottom>70</x_right_bottom><y_right_bottom>50</y_right_bottom>"
            "<x_left_bottom>30</x_left_bottom><y_left_bottom>66</y_left_bottom></robndbox>"
        ),
        (5, 10, 66, 70),
    ),
    "a polygon with numbered points": (
        "<polygon><x1>10</x1><y1>20</y1><x2>60.5</x2><y2>5</y2><x3>30</x3><y3>66</y3></polygon>",
        (5, 10, 66, 60.5),
    ),
    "a polygon of LabelMe": (
        "<polygon><username>u1</username><pt><x>10</x><y>20</y></pt><pt><x>60</x><y>5</y></pt><pt><x>30</x><y>66</y></pt></polygon>",
        (5, 10, 66, 60),
    ),
    "a polygon with points": ("<polygon><point><x>10</x><y>20</y></point><point><x>60</x><y>66</y></point></polygon>", (20, 10, 66, 60)),
    "points as text": ("<points><point>10.0,20.0</point><point>60.0,5.0</point><point>30,66</point></points>", (5, 10, 66, 60)),
    "a polygon as one text": ("<polygon>10,20 60,5 30,66</polygon>", (5, 10, 66, 60)),
    "two parts": (
        "<polygon><x1>10</x1><y1>20</y1><x2>30</x2><y2>40</y2></polygon><polygon><x1>50</x1><y1>60</y1><x2>70</x2><y2>80</y2></polygon>",
        (20, 10, 80, 70),
    ),
    "an empty box beside a polygon": (
        "<bndbox><xmin/><ymin/><xmax/><ymax/></bndbox><polygon><x1>10</x1><y1>20</y1><x2>60</x2><y2>66</y2></polygon>",
        (20, 10, 66, 60),
    ),
    "a box by its four corners": (
        "<bndbox><x1>10</x1><y1>20</y1><x2>60</x2><y2>5</y2><x3>70</x3><y3>50</y3><x4>30</x4><y4>66</y4></bndbox>",
        (5, 10, 66, 70),
    ),
    "a polygon with a number that cannot be read": ("<polygon><x1>10</x1><y1>a</y1><x2>60</x2><y2>66</y2></polygon>", None),
    "an odd number of coordinates": ("<polygon>10 20 30</polygon>", None),
    "an empty polygon": ("<polygon/>", None),
    "one point of a person": ("<point><x>10</x><y>20</y></point>", None),
}


@pytest.mark.parametrize(("outline", "box"), OUTLINES.values(), ids=OUTLINES)
def test_an_outline_without_a_box_becomes_the_box_around_it(outline, box):
    text = f"<annotation><filename>a.jpg</filename><object><type>robndbox</type><name>person</name>{outline}</object></annotation>"
    (item,) = parse_voc(text.encode()).objects
    assert item.corners == (box and pytest.approx(box, abs=1e-3))
    if box:
        assert item.given == pytest.approx([box[1], box[0], box[3], box[2]], abs=1e-3), "which the unit is found by"


def test_a_box_counts_more_than_the_polygon_beside_it():
    polygon = "<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2></polygon>"
    text = FILE.replace("<name>person</name>", f"<name>person</name>{polygon}")
    assert parse_voc(text.encode()).objects == parse_voc(FILE.encode()).objects


def test_an_object_that_was_deleted_in_labelme_is_none():
    text = FILE.replace("<name>person</name>", "<name>person</name><deleted>1</deleted>").replace(
        "<name>car</name>", "<name>car</name><deleted>0</deleted>"
    )
    assert [item.class_name for item in parse_voc(text.encode()).objects] == ["car"]


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.xml").write_text(text)
    return read_voc(VocPositives(annotations=f"{folder}/*.xml", image_url="s3://a/{filename}"), frozenset({"person", "car"}), Access())


def of(name, text=FILE):
    return text.replace("2007_000027.jpg", name)


def test_one_broken_file_is_a_failure_and_the_others_are_read(tmp_path):
    found = write(tmp_path, a=of("a.jpg"), b="<annotation>", c=of("c.jpg"), d=of("d.jpg").replace("person", "dog").replace("car", "dog"))
    assert [image.image_id for image in found.images] == ["a.jpg", "c.jpg"]
    assert [(failure.image_id, failure.outcome) for failure in found.failed] == [("b.xml", "invalid_annotation")]
    assert found.left_out == {"images_of_other_classes": 1}
    assert found.classes == {"person", "car", "dog"}


def test_an_object_without_a_class_is_a_box_that_cannot_be_used(tmp_path):
    found = planned_images(write(tmp_path, a=of("a.jpg").replace("<name>car</name>", "")))
    assert [[box.class_name for box in image.objects] for image in found.images] == [["person"]]
    assert [box.reason for box in found.rejected] == [Reason.NO_CLASS]


def test_of_two_files_of_one_image_the_one_that_has_its_name_is_right(tmp_path):
    found = write(tmp_path, a=of("a.jpg"), b=of("a.jpg"))
    assert [(image.url, len(image.annotations)) for image in found.images] == [("s3://a/a.jpg", 2)]
    assert [failure.image_id for failure in found.failed] == ["b.xml"]


def test_of_two_files_of_one_image_without_its_name_none_is_right(tmp_path):
    found = write(tmp_path, a=of("c.jpg"), b=of("c.jpg"))
    assert not found.images
    assert [failure.image_id for failure in found.failed] == ["a.xml", "b.xml"]


def test_a_broken_link_is_a_failure_and_hidden_files_are_no_annotations(tmp_path):
    (tmp_path / "b.xml").symlink_to("/nowhere")
    (tmp_path / "._a.xml").write_bytes(b"\0\5\26\7Mac OS X")
    source = write(tmp_path, a=FILE)
    assert [image.file_name for image in source.images] == ["2007_000027.jpg"]
    (failure,) = source.failed
    assert (failure.image_id, "does not exist" in failure.detail) == ("b.xml", True)


def _file(name: str, xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    box = f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"
    return f"<annotation><filename>{name}</filename><object><name>person</name>{box}</object></annotation>"


def _corners_of(folder, wanted: str = "person") -> dict[str, Corners | None]:
    source = VocPositives(annotations=str(folder), image_url="https://example.org/{filename}")
    return {image.file_name: image.annotations[0].corners for image in read_voc(source, frozenset({wanted}), Access()).images}


@pytest.mark.parametrize(("first", "starts"), [("0", 20), ("0.96", 20), ("1", 19)], ids=["from 0", "from 0, with fractions", "from 1"])
def test_boxes_begin_where_the_exporter_counts_from(tmp_path, first, starts):
    (tmp_path / "a.xml").write_text(_file("a.jpg", 20, 30, 60, 80))
    (tmp_path / "b.xml").write_text(_file("b.jpg", first, 30, 60, 80))
    assert _corners_of(tmp_path)["a.jpg"] == Corners(ymin=starts + 10, xmin=starts, ymax=80, xmax=60)


def test_a_slip_in_one_of_many_boxes_does_not_move_the_others(tmp_path):
    for number in range(101):
        (tmp_path / f"{number}.xml").write_text(_file(f"{number}.jpg", 20 if number else 0, 30, 60, 80))
    assert _corners_of(tmp_path)["1.jpg"] == Corners(ymin=29, xmin=19, ymax=80, xmax=60)


LABELME = """<annotation><filename>a.jpg</filename><folder>train</folder><imagesize><nrows>422</nrows><ncols>640</ncols></imagesize>
  <object><name>person</name><deleted>0</deleted><occluded>no</occluded><type>bounding_box</type><polygon>
    <pt><x>112.20</x><y>89.5</y></pt><pt><x>504.41</x><y>89.5</y></pt><pt><x>504.41</x><y>417.86</y></pt><pt><x>0.5</x><y>417.86</y></pt>
  </polygon></object>
  <object><name>person</name><deleted>1</deleted><polygon><pt><x>1</x><y>1</y></pt><pt><x>9</x><y>9</y></pt></polygon></object>
</annotation>"""


def test_a_polygon_of_labelme_is_the_box_around_it_and_a_deleted_one_is_none():
    file = parse_voc(LABELME.encode())
    assert (file.width, file.height) == (640, 422)
    assert [item.corners for item in file.objects] == [Corners(ymin=89.5, xmin=0.5, ymax=417.86, xmax=504.41)]


def test_polygons_say_nothing_of_how_boxes_are_counted(tmp_path):
    (tmp_path / "a.xml").write_text(LABELME)
    (tmp_path / "b.xml").write_text(_file("b.jpg", 20, 30, 60, 80))
    assert _corners_of(tmp_path) == {"a.jpg": Corners(89.5, 0.5, 417.86, 504.41), "b.jpg": Corners(ymin=29, xmin=19, ymax=80, xmax=60)}


def test_a_polygon_without_numbers_is_a_box_that_cannot_be_used():
    (item,) = parse_voc(LABELME.replace("504.41", "right").encode()).objects
    assert item.corners is None


def test_a_folder_means_all_its_files_and_those_below(tmp_path):
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.xml").write_text(_file("a.jpg", 20, 30, 60, 80))
    (tmp_path / "b.XML").write_text(_file("b.jpg", 20, 30, 60, 80))
    (tmp_path / "._b.xml").write_text("no annotation")
    (tmp_path / "classes.txt").write_text("person")
    assert set(_corners_of(tmp_path)) == set(_corners_of(f"{tmp_path}/")) == {"a.jpg", "b.jpg"}


def test_a_folder_without_files_says_what_was_expected(tmp_path):
    with pytest.raises(InvalidInput, match=r"expected a glob, or a folder with .xml files, got '.*' without any"):
        _corners_of(tmp_path)


def test_a_folder_with_a_dot_in_its_name_is_told_to_be_one(tmp_path):
    (tmp_path / "voc.v2").mkdir()
    with pytest.raises(InvalidInput, match="it is a folder; give the file in it"):
        _corners_of(tmp_path / "voc.v2")


def test_images_of_several_folders_are_found_by_the_folder_of_their_file(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.xml").write_text(_file("1.jpg", 20, 30, 60, 80))
    source = VocPositives(annotations=str(tmp_path), image_url="s3://team-a/voc/{folder}/{filename}")
    found = read_voc(source, frozenset({"person"}), Access())
    assert {image.image_id: image.url for image in found.images} == {
        "train/1.jpg": "s3://team-a/voc/train/1.jpg",
        "valid/1.jpg": "s3://team-a/voc/valid/1.jpg",
    }
    assert not found.failed


def test_without_the_folder_two_images_of_one_name_are_failures(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.xml").write_text(_file("1.jpg", 20, 30, 60, 80))
    source = VocPositives(annotations=str(tmp_path), image_url="s3://team-a/voc/{filename}")
    found = read_voc(source, frozenset({"person"}), Access())
    assert not found.images
    assert len(found.failed) == 2
