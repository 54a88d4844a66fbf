"""The user's own images: folders, globs, and lists of URLs."""

from __future__ import annotations

import contextlib
import gzip
import io
import zipfile

import pyarrow as pa
import pytest
from pyarrow import parquet

from negset_api.errors import InvalidInput
from negset_jobs.adapters.access import Access
from negset_jobs.formats import image_lists
from negset_jobs.formats.coco import FileLicense
from negset_jobs.formats.image_lists import Entry, identifier, listed, read_images

FIELD = "spec.source.images.urls"


def files(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def names_of(*urls, access=None):
    return [image.file_name for image in read_images([str(url) for url in urls], access or Access(), FIELD).images]


def urls_of(*urls):
    return [image.coco_url for image in read_images([str(url) for url in urls], Access(), FIELD).images]


def refusal(*urls, access=None) -> str:
    with pytest.raises(InvalidInput) as caught:
        names_of(*urls, access=access)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- Folders and globs


def test_a_folder_is_read_with_all_folders_below_it_in_the_order_of_the_names(tmp_path):
    files(tmp_path, "b/2.jpg", "a.PNG", "b/1.jpeg", "b/c/3.webp")
    assert names_of(tmp_path) == ["a.PNG", "b/1.jpeg", "b/2.jpg", "b/c/3.webp"]
    assert urls_of(f"{tmp_path}/")[0] == f"{tmp_path}/a.PNG"


def test_hidden_files_and_files_that_are_no_images_are_left_out_and_counted(tmp_path, caplog):
    files(tmp_path, "1.jpg", "notes.txt", "Thumbs.db", ".thumbnails/1.jpg", "__MACOSX/._1.jpg", "._1.jpg")
    assert names_of(tmp_path) == ["1.jpg"]
    assert "5 files in" in caplog.text


def test_every_file_that_a_glob_matches_is_taken(tmp_path):
    files(tmp_path, "cam-1/1.jpg", "cam-1/frame", "cam-2/1.jpg", "cam-2/sub/2.jpg", "cam-1/._1.jpg", ".cache/1.jpg")
    assert names_of(tmp_path / "cam-1" / "*") == ["1.jpg", "frame"]
    assert names_of(tmp_path / "cam-1" / ".*.jpg") == ["._1.jpg"]
    assert names_of(tmp_path / "cam-*" / "*.jpg") == ["cam-1/1.jpg", "cam-2/1.jpg"]
    assert names_of(tmp_path / "**" / "*.jpg") == ["cam-1/1.jpg", "cam-2/1.jpg", "cam-2/sub/2.jpg"]


def test_braces_in_a_glob_stand_for_each_of_their_parts(tmp_path):
    files(tmp_path, "1.jpg", "2.png", "3.gif", "{a,b}/4.jpg")
    assert names_of(tmp_path / "*.{jpg,png}") == ["1.jpg", "2.png"]
    assert names_of(tmp_path / "{a,b}") == ["4.jpg"]


@pytest.mark.parametrize("name", ["notes.md", "urls.json"])
def test_a_file_that_is_neither_an_image_nor_a_list_is_refused(tmp_path, name):
    assert "expected an image or a list of URLs" in refusal(files(tmp_path, name) / name)


def test_a_folder_whose_name_looks_like_a_glob_is_that_folder(tmp_path):
    files(tmp_path, "run [1]/1.jpg", "run 1/2.jpg")
    assert names_of(tmp_path / "run [1]") == ["1.jpg"]


@pytest.mark.parametrize("folder", ["cam [1]", "w?x", "cam{a,b}", "all*"])
def test_a_folder_before_a_glob_may_look_like_a_glob_itself(tmp_path, folder):
    files(tmp_path, f"{folder}/1.jpg", f"{folder}/2.png", "cam 1/x.jpg", "wax/x.jpg", "cama/x.jpg", "allx/x.jpg")
    assert names_of(tmp_path / folder / "*.jpg") == ["1.jpg"]
    assert names_of(tmp_path / folder / "{1,2,3}.*") == ["1.jpg", "2.png"]


def test_an_alternative_that_no_file_has_is_none(tmp_path):
    files(tmp_path, "a/1.jpg", "b/1.jpg")
    assert names_of(tmp_path / "{a,b,c}" / "1.jpg") == ["a/1.jpg", "b/1.jpg"]


def test_brackets_of_a_folder_that_exists_are_its_name_before_a_glob(tmp_path):
    files(tmp_path, "run [1]/1.jpg", "run [1]/cam/2.png", "run 1/3.jpg")
    assert names_of(tmp_path / "run [1]" / "*.jpg") == ["1.jpg"]
    assert names_of(tmp_path / "run [1]" / "{1.jpg,cam/*.png}") == ["1.jpg", "cam/2.png"]


def test_one_image_is_a_source(tmp_path):
    files(tmp_path, "1.jpg", "2.jpg")
    assert names_of(tmp_path / "2.jpg") == ["2.jpg"]
    assert urls_of("https://camera.example/frames/7.jpg?size=full") == ["https://camera.example/frames/7.jpg?size=full"]


def test_the_members_of_an_archive_are_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as archive:
        archive.writestr("day/1.jpg", b"x")
        archive.writestr("day/2.jpg", b"x")
    assert names_of(f"zip://day::{tmp_path}/frames.zip") == ["1.jpg", "2.jpg"]
    assert urls_of(f"zip://day/*.jpg::{tmp_path}/frames.zip")[0] == f"zip://day/1.jpg::{tmp_path}/frames.zip"


def test_a_name_that_cannot_be_part_of_a_url_does_not_end_the_work(tmp_path):
    files(tmp_path, "1.jpg", "a::b.jpg")
    assert urls_of(tmp_path) == [f"{tmp_path}/1.jpg", f"{tmp_path}/a::b.jpg"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("none", "expected a folder, a glob or a file", id="a folder that is missing"),
        pytest.param("none/*.jpg", "expected images in", id="a glob that matches nothing"),
        pytest.param("empty", "found none; 1 files are hidden or have no ending of an image", id="a folder without images"),
    ],
)
def test_where_no_image_is_found_the_entry_is_named(tmp_path, name, expected):
    files(tmp_path, "1.jpg", "empty/notes.md")
    message = refusal(tmp_path / "1.jpg", tmp_path / name)
    assert message.startswith(f"{FIELD}[1]: ")
    assert expected in message


def test_a_folder_on_a_web_server_cannot_be_listed():
    assert "list the URLs of its images in a file" in refusal("https://camera.example/frames/")


def test_local_folders_are_refused_on_a_cluster(tmp_path):
    assert "local paths work on a laptop only" in refusal(files(tmp_path, "1.jpg"), access=Access(local_files=False))


# --- Ids


def test_an_image_keeps_its_id_when_its_folder_moves(tmp_path):
    for folder in ("here", "there"):
        files(tmp_path / folder, "cam/1.jpg", "cam/2.jpg")
    here, there = (read_images([str(tmp_path / folder)], Access(), FIELD).images for folder in ("here", "there"))
    assert [image.id for image in here] == [image.id for image in there] == [identifier("cam/1.jpg"), identifier("cam/2.jpg")]


def test_an_image_keeps_its_id_when_others_come_and_go(tmp_path):
    before = {image.file_name: image.id for image in read_images([str(files(tmp_path, "2.jpg", "3.jpg"))], Access(), FIELD).images}
    after = {image.file_name: image.id for image in read_images([str(files(tmp_path, "1.jpg", "4.jpg"))], Access(), FIELD).images}
    assert before.items() <= after.items()


def test_ids_are_the_same_everywhere_and_every_reader_of_json_can_hold_them():
    assert identifier("cam-1/0001.jpg") == RECORDED
    assert all(0 <= identifier(str(number)) < 2**53 for number in range(1000))


RECORDED = 8499668539223279


def test_the_same_name_in_two_folders_is_two_images(tmp_path):
    files(tmp_path, "a/1.jpg", "b/1.jpg")
    first, second = read_images([str(tmp_path / "a"), str(tmp_path / "b")], Access(), FIELD).images
    assert (first.id, second.id) == (identifier("1.jpg"), identifier("1.jpg", 2))


def test_an_image_that_two_entries_name_is_one_image(tmp_path, caplog):
    files(tmp_path, "a/1.jpg", "a/2.jpg")
    assert names_of(tmp_path / "a", tmp_path / "a" / "*.jpg") == ["1.jpg", "2.jpg"]
    assert "2 images are named more than once" in caplog.text


# --- Lists


@pytest.mark.parametrize("name", ["list.txt", "list.lst", "list.list", "LIST.TXT", "list.txt.gz"])
def test_a_text_file_lists_one_url_a_line(tmp_path, name):
    text = b"\xef\xbb\xbfhttps://h.example/1.jpg\r\n\r\n# a remark\n  s3://b/2.jpg  \n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert urls_of(tmp_path / name) == ["https://h.example/1.jpg", "s3://b/2.jpg"]
    assert names_of(tmp_path / name) == ["1.jpg", "2.jpg"]


def test_a_relative_path_is_relative_to_the_list(tmp_path):
    (tmp_path / "list.txt").write_text('frames/1.jpg\n/data/2.jpg\n"/data/3 a.jpg"\n')
    assert urls_of(tmp_path / "list.txt") == [f"{tmp_path}/frames/1.jpg", "/data/2.jpg", "/data/3 a.jpg"]


def test_an_image_of_a_folder_and_of_a_list_with_relative_paths_is_one(tmp_path, monkeypatch):
    files(tmp_path, "frames/day 1/1.jpg", "frames/2.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("frames/day 1/1.jpg\n./frames/2.jpg\n")
    assert urls_of("list.txt", "frames") == [f"{tmp_path}/frames/day 1/1.jpg", f"{tmp_path}/frames/2.jpg"]


@pytest.mark.parametrize("text", ["URL,Id\n1.jpg,7\n", " url ; id\n1.jpg;7\n", "id\tUrl\n7\t1.jpg\n"])
def test_columns_have_any_case_and_any_usual_separator(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    found = read_images([f"{tmp_path}/list.csv"], Access(), FIELD).images
    assert [(image.id, image.coco_url) for image in found] == [(7, f"{tmp_path}/1.jpg")]


@pytest.mark.parametrize("text", ["link,id\n1.jpg,7\n", "frames/1.jpg\nframes/2.jpg\n"])
def test_a_table_without_the_column_says_which_columns_it_has(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    message = refusal(tmp_path / "list.csv")
    assert "expected a column 'url'" in message
    assert text.splitlines()[0].split(",")[0] in message


def test_dots_in_a_relative_path_are_resolved_because_stores_take_none(tmp_path):
    import fsspec

    with fsspec.open("memory://bucket/lists/list.txt", "wb") as stream:
        stream.write(b"./1.jpg\n../frames/2.jpg\n")
    assert urls_of("memory://bucket/lists/list.txt") == ["memory://bucket/lists/1.jpg", "memory://bucket/frames/2.jpg"]


def test_a_list_behind_a_signed_url_is_a_list():
    with pytest.raises(InvalidInput, match=r"cannot read 'http://127.0.0.1:9/list.txt\?…'"):
        read_images(["http://127.0.0.1:9/list.txt?X-Amz-Signature=a"], Access(), FIELD)


def test_brackets_in_the_name_of_a_list_are_its_name(tmp_path):
    (tmp_path / "cam [1]").mkdir()
    (tmp_path / "cam [1]" / "list [a].txt").write_text("s3://b/1.jpg\n")
    assert urls_of(tmp_path / "cam [1]" / "list [a].txt") == ["s3://b/1.jpg"]


def test_a_glob_of_lists_is_all_of_them(tmp_path):
    (tmp_path / "1.txt").write_text("s3://b/1.jpg\n")
    (tmp_path / "2.txt").write_text("s3://b/2.jpg\n")
    assert urls_of(tmp_path / "*.txt") == ["s3://b/1.jpg", "s3://b/2.jpg"]


@pytest.mark.parametrize("data", ["s3://b/1.jpg\n".encode("utf-16"), b"s3://b/\xe9.jpg\n", b"\x89PNG\0\0"])
def test_a_list_that_is_no_utf_8_is_refused(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    assert "save it as UTF-8" in refusal(tmp_path / "list.txt")


def test_a_parquet_file_lists_urls_with_what_is_known(tmp_path):
    columns = {
        "url": ["s3://b/1.jpg", "s3://b/2.jpg", None, "frames/3.jpg"],
        "id": [7, 8, 9, None],
        "license": ["CC-BY", "https://l.example/by", "CC0", None],
        "width": [640, None, 1, -1],
        "height": [480, 0, 1, 2],
        "other": ["x"] * 4,
    }
    parquet.write_table(pa.table(columns), tmp_path / "list.parquet")
    found = read_images([str(tmp_path / "list.parquet")], Access(), FIELD)
    assert [(image.id, image.coco_url, image.width, image.height, image.license) for image in found.images] == [
        (7, "s3://b/1.jpg", 640, 480, 1),
        (8, "s3://b/2.jpg", None, None, 2),
        (identifier("frames/3.jpg"), f"{tmp_path}/frames/3.jpg", None, 2, None),
    ]
    assert found.licenses == (FileLicense(1, "CC-BY"), FileLicense(2, "https://l.example/by", "https://l.example/by"))


def test_a_csv_file_lists_urls_with_what_is_known(tmp_path):
    (tmp_path / "list.csv").write_text('id,url,license,width\n7,s3://b/1.jpg,"CC, BY",640\n,s3://b/2.jpg,3,\ncam-1,3.jpg,,x\n8,,,\n')
    found = read_images([str(tmp_path / "list.csv")], Access(), FIELD)
    assert [(image.id, image.coco_url, image.width, image.license) for image in found.images] == [
        (7, "s3://b/1.jpg", 640, 1),
        (identifier("s3://b/2.jpg"), "s3://b/2.jpg", None, 3),
        (identifier("cam-1"), f"{tmp_path}/3.jpg", None, None),
    ]


def test_a_csv_file_without_urls_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("link\ns3://b/1.jpg\n")
    assert "expected a column 'url'" in refusal(tmp_path / "list.csv")


def test_ids_that_are_text_decide_the_id_and_urls_may_change(tmp_path):
    for signature in "ab":
        parquet.write_table(
            pa.table({"url": [f"https://h.example/1.jpg?s={signature}"], "id": ["cam-1"]}), tmp_path / f"{signature}.parquet"
        )
    first, second = (read_images([str(tmp_path / f"{name}.parquet")], Access(), FIELD).images[0].id for name in "ab")
    assert first == second == identifier("cam-1")


def test_an_id_with_two_urls_is_refused(tmp_path):
    parquet.write_table(pa.table({"url": ["s3://b/1.jpg", "s3://b/2.jpg"], "id": [1, 1]}), tmp_path / "list.parquet")
    assert refusal(tmp_path / "list.parquet") == f"{FIELD}: expected one URL for each id, got two for the id 1"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda path: path.write_bytes(b"PAR1 no"), "is not a Parquet file", id="damaged"),
        pytest.param(lambda path: parquet.write_table(pa.table({"link": ["x"]}), path), "expected a column 'url'", id="no column url"),
        pytest.param(lambda path: parquet.write_table(pa.table({"url": [1]}), path), "expected text in the column 'url'", id="no text"),
    ],
)
def test_a_parquet_file_without_urls_is_refused(tmp_path, make, expected):
    make(tmp_path / "list.parquet")
    assert expected in refusal(tmp_path / "list.parquet")


def test_given_licence_numbers_are_kept_beside_names():
    images, licenses = listed([Entry("u1", "1", "1", license=1), Entry("u2", "2", "2", license="By")], FIELD)
    assert [image.license for image in images] == [1, 2]
    assert licenses == (FileLicense(2, "By"),)


def test_a_path_in_a_list_on_a_web_server_is_a_path_of_that_server(monkeypatch):
    text = io.BytesIO(b"a.jpg\n../b.jpg?size=1\n/frames/c.jpg\n//cdn.example/d.jpg\nhttp://h.example/e.jpg\n")
    monkeypatch.setattr(image_lists, "open_input", lambda *_: contextlib.nullcontext(io.BufferedReader(text)))
    assert urls_of("https://h.example/day/list.txt?sig=1") == [
        "https://h.example/day/a.jpg",
        "https://h.example/b.jpg?size=1",
        "https://h.example/frames/c.jpg",
        "https://cdn.example/d.jpg",
        "http://h.example/e.jpg",
    ]
