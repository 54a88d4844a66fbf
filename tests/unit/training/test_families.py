"""What differs between the kinds of models."""

import pytest

from negset_jobs.training import config as configs
from negset_jobs.training import families


@pytest.mark.parametrize(
    ("preset", "images"),
    [
        pytest.param("ssd-mobilenet-v2-tiny-96", 64, id="small images are many at once"),
        pytest.param("ssd-mobilenet-v2-320", 32, id="those of 320 pixels are 32"),
        pytest.param("ssd-resnet50-fpn-640", 8, id="four times the pixels are a quarter of the images"),
    ],
)
def test_as_many_images_are_scored_at_once_as_fit_into_a_worker(preset, images):
    assert families.scoring_batch(configs.parse(configs.preset(preset), "preset")) == images


def test_images_of_different_shapes_are_scored_one_by_one():
    config = configs.parse(configs.preset("faster-rcnn-resnet50-640"), "preset")
    families.image_resizer(config).keep_aspect_ratio_resizer.pad_to_max_dimension = False
    assert families.scoring_batch(config) == 1
