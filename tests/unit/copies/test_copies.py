"""Copies are found among real images, the demo's images, and images that look alike."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from tests.unit.copies.copying import COPIES, copies_among, jpeg, pasted, png

from negset_jobs.copies.fingerprint import LEAST_STRUCTURE, SIDE, fingerprint, structure
from negset_jobs.demo import dataset


@pytest.fixture(scope="module")
def photos(coco_mini):
    return [path.read_bytes() for path in sorted((coco_mini / "train2017").iterdir())]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The demo's images: shapes on a textured background, all similar and all different."""
    folder = tmp_path_factory.mktemp("drawn")
    truth = dataset.make(str(folder), with_object=60, without_object=340)
    files = sorted((folder / dataset.IMAGES).iterdir())
    return [path.read_bytes() for path in files if int(path.stem) not in truth.moved]


def opened(encoded):
    return Image.open(io.BytesIO(encoded)).convert("RGB")


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_a_copy_is_found_and_is_the_copy_of_no_other_image(photos, drawn, make):
    originals = photos[::2] + drawn[:60]
    copies = [make(opened(encoded)) for encoded in originals]
    assert copies_among(copies, originals) == [{index} for index in range(len(originals))]


AS_NEGATIVES = ("saved again at quality 60", "at half the size", "turned to the left", "turned to the right, at half the size", "mirrored")


@pytest.mark.parametrize("name", AS_NEGATIVES)
def test_a_negative_that_is_a_copy_of_a_positive_is_found(photos, name):
    copies = [COPIES[name](opened(encoded)) for encoded in photos[::2]]
    assert copies_among([*copies, *photos[1::2]], photos[::2], positives=True) == [{index} for index in range(40)] + [set()] * 40


def test_every_copy_of_one_positive_is_found(photos):
    """There are more than the neighbours of one hash."""
    copies = [jpeg(opened(photos[0]), quality) for quality in range(30, 96)]
    assert copies_among(copies, photos, positives=True) == [{0}] * len(copies)


def test_different_photos_are_not_copies(photos):
    """3,160 pairs, also mirrored and turned."""
    assert copies_among(photos, photos) == [{index} for index in range(len(photos))]


def test_drawings_that_look_alike_are_not_copies(drawn):
    """78,606 pairs, also mirrored and turned. The whole demo's 2,736,630 pairs have none either."""
    assert len(drawn) == 397
    assert copies_among(drawn, drawn) == [{index} for index in range(len(drawn))]


def flat(index):
    return Image.new("RGB", (320, 240), (10 * index, 200, 255 - 20 * index))


def gradient(index):
    lit = np.linspace(8 * index, 150 + 4 * index, 320)[None, :, None] + np.zeros((240, 320, 3))
    return Image.fromarray(lit.astype(np.uint8))


def sky(index):
    """Brighter below, darker in the corners, with noise."""
    random = np.random.default_rng(index)
    down, across = np.mgrid[-1:1:240j, -1:1:320j]
    level = 150 + 3 * index + 40 * down - 10 * (across**2 + down**2)
    return Image.fromarray((level[..., None] + random.normal(0, 2.5, (240, 320, 3))).clip(0, 255).astype(np.uint8))


def night(index):
    return Image.fromarray(np.random.default_rng(index).normal(4, 3, (240, 320, 3)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("make", [flat, gradient, sky, night], ids=["flat", "gradients", "skies", "dark frames"])
@pytest.mark.parametrize("save", [lambda image: jpeg(image, 75), png], ids=["JPEG", "PNG"])
def test_plain_images_are_copies_only_byte_for_byte(make, save):
    images = [save(make(index)) for index in range(12)]
    assert copies_among([*images[:6], images[2]], images[6:]) == [set()] * 7
    assert copies_among([images[2]], images) == [{2}]
    assert all(not fingerprint(encoded, turns=True).hashes for encoded in images)


def test_another_object_before_one_background_is_another_image(photos):
    """Frames of a fixed camera: their hashes are near, and their pixels differ."""
    for background in map(opened, photos[:8]):
        places = itertools.product((0.2, 0.5, 0.8), (0.3, 0.6))
        frames = [jpeg(pasted(background, int(x * background.width), int(y * background.height)), 88) for x, y in places]
        assert copies_among(frames, frames) == [{index} for index in range(len(frames))]
        again = [jpeg(opened(frame), 60) for frame in frames]
        assert copies_among(again, frames) == [{index} for index in range(len(frames))]


def test_what_cannot_be_decoded_is_compared_by_its_bytes(photos):
    broken = photos[0][:200]
    assert copies_among([broken, photos[1]], [b"", broken, photos[1]]) == [{1}, {2}]


def test_the_structure_of_a_photo_is_far_above_that_of_a_plain_image(photos):
    def of(image):
        return structure(np.asarray(image.convert("L").resize((SIDE, SIDE)), np.float32))

    assert max(of(make(index)) for make in (flat, gradient, sky, night) for index in range(12)) < LEAST_STRUCTURE / 1.5
    assert min(of(opened(encoded)) for encoded in photos) > 5 * LEAST_STRUCTURE
