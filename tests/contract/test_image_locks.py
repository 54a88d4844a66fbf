"""What is in each image is decided by its lock: hashed, agreeing with the distribution's own lock,
and without what the image must not have.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
LOCKS = sorted(IMAGES.glob("**/*.lock"))
RECIPES = sorted(IMAGES.glob("*/Dockerfile"))

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(lock: Path) -> dict[str, str]:
    """Name → version of everything that a lock installs."""
    return dict(_PIN.findall(lock.read_text()))


WHOLE = pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(IMAGES)))
def test_the_lock_agrees_with_the_distributions(lock):
    # CUDA and the TensorFlow that is built for it are in no other environment.
    cuda = {name for name in pins(lock) if name.startswith("nvidia-")} | {"tensorflow"} if lock.name == "gpu.lock" else set()
    assert {name: version for name, version in pins(lock).items() if name not in cuda and WHOLE.get(name) != version} == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(IMAGES)))
def test_the_lock_pins_everything_by_hash_and_names_no_registry(lock):
    text = lock.read_text()
    requirements = re.split(r"\n(?=[a-z0-9])", text)
    assert all(_HASH.search(part) for part in requirements if _PIN.match(part))
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


ABSENT = {
    "the operator has no Ray": ("operator/requirements.lock", r"ray"),
    "the operator has no TensorFlow": ("operator/requirements.lock", r"tensorflow.*|tf-.*|keras"),
    "the operator has none of the jobs' libraries": ("operator/requirements.lock", r"fsspec|s3fs|pyarrow|numpy|pillow|matplotlib"),
    "the jobs have no TensorFlow": ("jobs/requirements.lock", r"tensorflow.*|tf-.*|keras|tensorboard"),
    "the trainer's shared part has no build of TensorFlow": ("trainer/requirements.lock", r"tensorflow|tensorflow-cpu|nvidia-.*"),
    "the trainer for CPUs has no CUDA": ("trainer/cpu.lock", r"tensorflow|nvidia-.*"),
    "the trainer for GPUs has no second TensorFlow": ("trainer/gpu.lock", r"tensorflow-cpu"),
    "no image has what only tests need": ("trainer/requirements.lock", r"pytest.*|mypy|ruff|hypothesis|seaweedfs.*|import-linter"),
}


@pytest.mark.parametrize(("lock", "name"), ABSENT.values(), ids=ABSENT.keys())
def test_is_left_out(lock, name):
    assert [found for found in pins(IMAGES / lock) if re.fullmatch(name, found)] == []


PRESENT = {
    "the operator has the official client": ("operator/requirements.lock", {"kubernetes", "prometheus-client", "msgspec"}),
    "the jobs have Ray and the stores": ("jobs/requirements.lock", {"ray", "fsspec", "s3fs", "pyarrow", "aiohttp"}),
    "the trainer has Ray, for mining": ("trainer/requirements.lock", {"ray", "tf-models-research-object-detection", "pycocotools"}),
    "the trainer for CPUs has TensorFlow": ("trainer/cpu.lock", {"tensorflow-cpu"}),
    "the trainer for GPUs has TensorFlow and CUDA": (
        "trainer/gpu.lock",
        {"tensorflow", "nvidia-cudnn-cu12", "nvidia-nccl-cu12", "nvidia-cuda-nvcc-cu12"},
    ),
}


@pytest.mark.parametrize(("lock", "expected"), PRESENT.values(), ids=PRESENT.keys())
def test_is_there(lock, expected):
    assert expected <= pins(IMAGES / lock).keys()


def test_the_trainer_has_everything_that_the_jobs_have():
    trainer = pins(IMAGES / "trainer/requirements.lock").items() | pins(IMAGES / "trainer/cpu.lock").items()
    assert pins(IMAGES / "jobs/requirements.lock").items() <= trainer


def test_both_trainers_have_the_same_tensorflow():
    cpu, gpu = pins(IMAGES / "trainer/cpu.lock"), pins(IMAGES / "trainer/gpu.lock")
    assert cpu["tensorflow-cpu"] == gpu["tensorflow"]


EXTRAS = {"operator": ("operator",), "jobs": ("jobs",), "trainer": ("jobs", "training")}


@pytest.mark.parametrize("image", EXTRAS)
def test_what_the_distribution_asks_for_is_in_the_image(image):
    """A dependency that was added to pyproject.toml and not to the image's lock would be missed in
    the cluster only.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS[image] for line in project["optional-dependencies"][extra])]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in wanted} - {"negset"}
    assert names <= set().union(*(pins(lock) for lock in (IMAGES / image).glob("*.lock")))


# --- the recipes ---------------------------------------------------------------------------------------------------------------------------

each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)


def test_there_is_a_recipe_for_each_image():
    assert [recipe.parent.name for recipe in RECIPES] == ["jobs", "operator", "trainer"]


@each_recipe
def test_the_image_runs_as_a_number_that_is_not_root(recipe):
    last_stage = recipe.read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last_stage


@each_recipe
def test_the_base_is_named_without_a_registry_and_can_be_given_by_digest(recipe):
    stages = re.findall(r"^FROM (\S+)", recipe.read_text(), re.MULTILINE)
    assert stages == ["${BASE}", "python", "python"]
    assert "ARG BASE=debian:bookworm-slim\n" in recipe.read_text()


@each_recipe
def test_everything_is_installed_by_hash_or_from_the_build_itself(recipe):
    for command in re.findall(r"pip (?:--python \S+ )?install .*", recipe.read_text()):
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command


def test_the_recipes_share_their_first_stage_so_that_its_layers_are_made_and_pulled_once():
    def first_stage(recipe):
        text = recipe.read_text()
        return text[text.index("ARG BASE") : text.index("FROM python AS build")]

    assert len({first_stage(recipe) for recipe in RECIPES}) == 1
