"""The boxes of a positive lie on their objects, whatever its EXIF says."""

import io

import numpy as np
import pytest
from PIL import Image

from negset_api.values import Box, PlannedImage
from negset_jobs.download.failure import Failed
from negset_jobs.download.orientation import IGNORE, UPRIGHT, proved
from negset_jobs.download.placing import placed
from negset_jobs.download.verify import inspect, transcode

WIDTH, HEIGHT = 96, 64
OBJECT = (10, 5, 40, 25)  # left, top, right, bottom of a red rectangle in the upright image
TURNS = {  # how a camera stores the image whose EXIF says so: the inverse of what a viewer does
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(orientation, kind="JPEG", size=(WIDTH, HEIGHT)):
    """An image as a camera stores it, checked as a downloaded one."""
    image = Image.new("RGB", size, "white")
    image.paste((220, 20, 20), OBJECT)
    if TURNS[orientation] is not None:
        image = image.transpose(TURNS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    if kind == "transparent PNG":
        image, kind = image.convert("RGBA"), "PNG"
    image.save(data, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}))
    found = inspect(data.getvalue(), 10**6)
    return found if found.ready else transcode(found)


def planned(size=(WIDTH, HEIGHT), box=OBJECT, *, pixels=False, word=""):
    """A positive whose box was drawn on an image of this size; (0, 0) if the size is unknown."""
    left, top, right, bottom = box
    width, height = (1, 1) if pixels else size if any(size) else (WIDTH, HEIGHT)
    corners = Box(ymin=top / height, xmin=left / width, ymax=bottom / height, xmax=right / width, class_name="person")
    return PlannedImage(
        image_id=1,
        url="https://example.org/1",
        file_name="1",
        width=size[0],
        height=size[1],
        objects=(corners,),
        pixels=pixels,
        orientation=word,
    )


def covered(found):
    """The part of the box that is red in the pixels as TensorFlow decodes them, without EXIF."""
    pixels = np.asarray(Image.open(io.BytesIO(found.image.encoded)).convert("RGB")).astype(int)
    (box,) = found.boxes
    height, width = pixels.shape[:2]
    assert (found.image.height, found.image.width) == (height, width)
    inside = pixels[round(box.ymin * height) : round(box.ymax * height), round(box.xmin * width) : round(box.xmax * width)]
    return ((inside[..., 0] > 150) & (inside[..., 1] < 100)).mean()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "transparent PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_size_of_the_upright_image_proves_that_it_must_be_turned(orientation, kind):
    found = placed(planned(), photo(orientation, kind), "")
    assert covered(found) > 0.97
    assert (found.image.width, found.image.height, found.turned, found.orientation) == (WIDTH, HEIGHT, True, orientation)
    assert b"Exif" not in found.image.encoded


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_size_of_the_stored_pixels_proves_that_it_stays_as_it_is(orientation):
    image = photo(orientation)
    red = np.argwhere(np.asarray(Image.open(io.BytesIO(image.encoded)))[..., 1] < 100)
    (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0) + 1
    found = placed(planned((HEIGHT, WIDTH), (left, top, right, bottom)), image, "")
    assert covered(found) > 0.97
    assert (found.image.encoded, found.turned) == (image.encoded, False)


@pytest.mark.parametrize("how", [{"rest": UPRIGHT}, {"word": UPRIGHT}], ids=["the other images prove it", "the user says so"])
@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_an_image_whose_size_proves_nothing_is_turned_if(orientation, how):
    found = placed(planned(word=how.get("word", "")), photo(orientation), how.get("rest", ""))
    assert covered(found) > 0.97
    assert found.turned


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_without_any_proof_the_image_has_an_outcome_that_names_exif(orientation):
    with pytest.raises(Failed, match=rf"EXIF turns it \(orientation {orientation}\).*spec\.positives\.exifOrientation") as caught:
        placed(planned(), photo(orientation), "")
    assert caught.value.outcome == "ambiguous_orientation"


UNPROVED = {
    "a square image": (planned((96, 96)), photo(6, size=(96, 96))),
    "fractions without a size": (planned((0, 0)), photo(6)),
    "pixels without a size": (planned((0, 0), pixels=True), photo(6)),
}


@pytest.mark.parametrize(("image", "downloaded"), UNPROVED.values(), ids=UNPROVED)
def test_sideways_images_need_the_proof_of_others_too_if_their_size_is_none(image, downloaded):
    with pytest.raises(Failed, match="EXIF"):
        placed(image, downloaded, "")
    assert covered(placed(image, downloaded, UPRIGHT)) > 0.97


def test_the_word_of_the_user_that_exif_does_not_count_keeps_the_bytes():
    image = photo(3)
    assert placed(planned(word=IGNORE), image, UPRIGHT).image == image


WRONG = {
    "another size": (planned((50, 50)), photo(6), ""),
    "another size without EXIF": (planned((50, 50)), photo(1), ""),
    "the upright size is not that of pixels that stay": (planned(word=IGNORE), photo(6), ""),
    "the stored size is not that of the turned image": (planned((HEIGHT, WIDTH), word=UPRIGHT), photo(6), ""),
}


@pytest.mark.parametrize(("image", "downloaded", "rest"), WRONG.values(), ids=WRONG)
def test_a_size_that_fits_neither_image_is_a_mismatch(image, downloaded, rest):
    with pytest.raises(Failed) as caught:
        placed(image, downloaded, rest)
    assert caught.value.outcome == "size_mismatch"


def test_a_proof_counts_more_than_what_other_images_prove():
    assert covered(placed(planned(), photo(6), IGNORE)) > 0.97


def test_boxes_in_pixels_get_the_size_of_the_image():
    found = placed(planned((0, 0), pixels=True), photo(1), "")
    assert covered(found) > 0.97


def test_an_image_without_a_usable_box_on_it_is_an_outcome():
    with pytest.raises(Failed) as caught:
        placed(planned((0, 0), (500, 500, 600, 600), pixels=True), photo(1), "")
    assert caught.value.outcome == "invalid_box"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_negative_is_stored_as_tensorflow_sees_it(kind):
    image = photo(6, kind)
    found = placed(PlannedImage(image_id=1, url="u", file_name="f", width=WIDTH, height=HEIGHT), image, UPRIGHT)
    assert found.image == image
    assert (image.width, image.height) == (HEIGHT, WIDTH)


def test_images_that_contradict_each_other_prove_nothing():
    assert [proved(found) for found in ([], [True, True], [False], [True, False])] == ["", UPRIGHT, IGNORE, ""]


@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00rubbish", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x63\x00\x00"]
)
def test_exif_that_no_viewer_can_use_turns_nothing(exif):
    data = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(data, "JPEG", exif=exif)
    assert placed(planned(), inspect(data.getvalue(), 10**6), "").turned is False
