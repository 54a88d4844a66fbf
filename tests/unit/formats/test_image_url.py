from __future__ import annotations

import os

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.adapters.urls import InvalidUrl, parse
from negset_jobs.formats.image_url import check_base_names, entry_fields, image_url, photo_page

FIELDS = {"file_name": "a b/ü#1%.jpg", "coco_url": "http://images.test/x%20y.jpg", "flickr_url": ""}


@pytest.mark.parametrize(
    ("template", "url"),
    [
        pytest.param("{coco_url}", "http://images.test/x%20y.jpg", id="a URL stays as it is"),
        pytest.param("https://h.test/{file_name}", "https://h.test/a%20b/%C3%BC%231%25.jpg", id="a file name is encoded in a web address"),
        pytest.param("HTTPS://h.test/{file_name}", "HTTPS://h.test/a%20b/%C3%BC%231%25.jpg", id="whatever the case of the scheme"),
        pytest.param("s3://bucket/train/{file_name}", "s3://bucket/train/a b/ü#1%.jpg", id="a file name is a key in a store"),
        pytest.param("/data/{file_name}", "/data/a b/ü#1%.jpg", id="a file name is a path on a disk"),
        pytest.param("data/{file_name}", os.path.abspath("data/a b/ü#1%.jpg"), id="a relative path becomes absolute"),
        pytest.param("{file_name}", os.path.abspath("a b/ü#1%.jpg"), id="the file name alone"),
        pytest.param(
            "zip://{file_name}::https://h.test/all.zip", "zip://a b/ü#1%.jpg::https://h.test/all.zip", id="a member of an archive"
        ),
    ],
)
def test_a_template_becomes_the_address_of_an_image(template, url):
    assert image_url(template, FIELDS) == url


@pytest.mark.parametrize(
    ("template", "name", "url"),
    [
        ("s3://bucket/img/{file_name}", "cam1::001.jpg", "s3://bucket/img/cam1::001.jpg"),
        ("/data/{file_name}", "cam1::001.jpg", "/data/cam1::001.jpg"),
        ("zip://{file_name}::s3://bucket/all.zip", "cam1::001.jpg", "zip://cam1::001.jpg::s3://bucket/all.zip"),
        ("/data/{file_name}", "img\\001.jpg", "/data/img/001.jpg"),
        ("https://h.test/{file_name}", "img\\001.jpg", "https://h.test/img/001.jpg"),
        ("https://h.test/{file_name}", "a+b;c&d=e.jpg", "https://h.test/a%2Bb%3Bc%26d%3De.jpg"),
        ("https://h.test/?name={file_name}", "a&b.jpg", "https://h.test/?name=a%26b.jpg"),
        ("{file_name}", "/data/a.jpg", "/data/a.jpg"),
        ("/data/{{v1}}/{file_name}", "a{0}.jpg", "/data/{v1}/a{0}.jpg"),
        ("{coco_url}", " https://h.test/a.jpg\n", "https://h.test/a.jpg"),
    ],
)
def test_a_name_is_read_as_it_was_written(template, name, url):
    assert image_url(template, {"file_name": name, "coco_url": name}) == url
    parse(url)


@pytest.mark.parametrize("name", ["cam1::http://10.0.0.1/x.jpg", "a.jpg::zip://b.zip", "a.jpg::simplecache"])
def test_only_the_template_chains_urls(name):
    fields = {"file_name": name}
    assert len(parse(image_url("https://h.test/{file_name}", fields)).links) == 1
    for template in ("s3://bucket/{file_name}", "/data/{file_name}", "zip://{file_name}::s3://bucket/all.zip"):
        with pytest.raises(InvalidUrl):
            parse(image_url(template, fields))


def test_a_file_name_that_is_a_web_address_stays_as_it_is():
    assert image_url("{file_name}", {"file_name": "https://h.test/a%20b.jpg"}) == "https://h.test/a%20b.jpg"


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "\\x.jpg", "C:\\me\\x.jpg", "d:/x.jpg"])
@pytest.mark.parametrize("template", ["/data/{file_name}", "data/{file_name}", "s3://bucket/{file_name}", "file:///data/{file_name}"])
def test_a_file_name_does_not_lead_out_of_its_folder(template, name):
    url = image_url(template, {"file_name": name})
    with pytest.raises(InvalidUrl, match="expected file names inside the folder of imageUrl"):
        parse(url)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("/data/upload/7/a1b2c3d4-street.jpg", id="an upload of Label Studio"),
        pytest.param("/data/local-files/?d=set/images/a1b2c3d4-street.jpg", id="a local file of Label Studio"),
        pytest.param("/data/local-files/?d=a1b2c3d4-street.jpg", id="one without a folder"),
        pytest.param("s3://labels/images/a1b2c3d4-street.jpg", id="an object in a bucket"),
        pytest.param("https://h.test/a1b2c3d4-street.jpg?X-Amz-Signature=ab/cd", id="a signed address"),
        pytest.param("/home/me/raw/a1b2c3d4-street.jpg", id="a path that labelme2coco wrote"),
        pytest.param("C:\\me\\raw\\a1b2c3d4-street.jpg", id="a path of Windows"),
        pytest.param("../upload/a1b2c3d4-street.jpg", id="a path that leads out"),
        pytest.param("a1b2c3d4-street.jpg", id="a name without a folder"),
    ],
)
def test_the_base_name_of_an_image_is_what_follows_every_folder_and_host(name):
    assert image_url("s3://bucket/images/{base_name}", entry_fields(name, None, None)) == "s3://bucket/images/a1b2c3d4-street.jpg"


@pytest.mark.parametrize("name", ["..", "a/.."])
def test_a_base_name_does_not_lead_out_of_its_folder(name):
    with pytest.raises(InvalidUrl, match="expected file names inside the folder of imageUrl"):
        parse(image_url("s3://bucket/images/{base_name}", entry_fields(name, None, None)))


def test_a_file_name_that_is_a_url_is_told_the_placeholder_for_its_last_part():
    with pytest.raises(InvalidUrl, match=r"\{base_name\}, the last part of file_name"):
        parse(image_url("/data/{file_name}", entry_fields("s3://labels/a.jpg", None, None)))


def test_two_images_with_one_base_name_are_refused():
    with pytest.raises(InvalidInput, match=r"got one for 'day/1.jpg' and 'night/1.jpg'; rename the images, or use \{file_name\}"):
        check_base_names("/data/{base_name}", ["day/1.jpg", "./day/1.jpg", "night/1.jpg"])
    check_base_names("/data/{base_name}", ["day/1.jpg", "./day/1.jpg", "night/2.jpg"])
    check_base_names("/data/{file_name}", ["day/1.jpg", "night/1.jpg"])


@pytest.mark.parametrize(
    ("template", "url"), [("s3:/bucket/{file_name}", ""), ("{coco_url}", "http:/h.test/a.jpg"), ("{coco_url}", "https//h/a.jpg")]
)
def test_a_slip_in_a_scheme_is_named_and_is_no_path(template, url):
    with pytest.raises(InvalidUrl, match="expected the scheme with one colon and two slashes"):
        parse(image_url(template, {"file_name": "a.jpg", "coco_url": url}))


def test_two_dots_within_a_name_are_no_way_out():
    assert image_url("/data/{file_name}", {"file_name": "a..b.jpg"}) == "/data/a..b.jpg"


def test_an_unknown_placeholder_is_named():
    with pytest.raises(InvalidInput) as caught:
        image_url("https://h.test/{name}", {"file_name": "a.jpg"}, field="spec.positives.coco.imageUrl")
    assert str(caught.value) == "spec.positives.coco.imageUrl: expected the placeholders {file_name}, got {name} in 'https://h.test/{name}'"


def test_an_empty_field_is_named_with_its_image():
    with pytest.raises(
        InvalidInput, match=r"'\{flickr_url\}' needs flickr_url, which is empty in an image entry \(file_name 'a b/ü#1%.jpg', .*\)"
    ):
        image_url("{flickr_url}", FIELDS)


@pytest.mark.parametrize(
    ("address", "page"),
    [
        pytest.param(
            "http://farm4.staticflickr.com/3448/3176652494_ba19663418_z.jpg",
            "https://www.flickr.com/photo.gne?id=3176652494",
            id="COCO's form",
        ),
        pytest.param("https://live.staticflickr.com/65535/123_ab_b.jpg", "https://www.flickr.com/photo.gne?id=123", id="today's form"),
        pytest.param("http://farm1.static.flickr.com/2/123_ab.jpg", "https://www.flickr.com/photo.gne?id=123", id="the form of old"),
        pytest.param("http://h.test/1_2.jpg", "http://h.test/1_2.jpg", id="another host"),
        pytest.param("", "", id="none"),
    ],
)
def test_the_page_of_a_photo(address, page):
    assert photo_page(address) == page
