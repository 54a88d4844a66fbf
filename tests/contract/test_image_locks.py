"""The lock of each image decides its packages.

It is hashed, agrees with the distribution's own lock, and lacks what the image must not have.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
LOCKS = sorted(IMAGES.glob("*.lock"))
TARGETS = ("operator", "jobs", "trainer")

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(lock: Path) -> dict[str, str]:
    """Name → version of everything that a lock installs."""
    return dict(_PIN.findall(lock.read_text()))


WHOLE = pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_lock_agrees_with_the_distributions(lock):
    # CUDA and the TensorFlow that is built for it are in no other environment.
    cuda = {name for name in pins(lock) if name.startswith("nvidia-")} | {"tensorflow"} if lock.name == "trainer-gpu.lock" else set()
    assert {name: version for name, version in pins(lock).items() if name not in cuda and WHOLE.get(name) != version} == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_lock_pins_everything_by_hash_and_names_no_registry(lock):
    text = lock.read_text()
    requirements = re.split(r"\n(?=[a-z0-9])", text)
    assert all(_HASH.search(part) for part in requirements if _PIN.match(part))
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


ABSENT = {
    "the operator has no Ray": ("operator.lock", r"ray"),
    "the operator has no TensorFlow": ("operator.lock", r"tensorflow.*|tf-.*|keras"),
    "the operator has none of the jobs' libraries": ("operator.lock", r"fsspec|s3fs|pyarrow|numpy|pillow|matplotlib"),
    "the jobs have no TensorFlow": ("jobs.lock", r"tensorflow.*|tf-.*|keras|tensorboard"),
    "the trainer's shared part has no build of TensorFlow": ("trainer.lock", r"tensorflow|tensorflow-cpu|nvidia-.*"),
    "the trainer for CPUs has no CUDA": ("trainer-cpu.lock", r"nvidia-.*"),
    "the trainer for GPUs has no second TensorFlow": ("trainer-gpu.lock", r"tensorflow-cpu"),
    "no image has what only tests need": ("trainer.lock", r"pytest.*|mypy|ruff|hypothesis|seaweedfs.*|import-linter"),
}


@pytest.mark.parametrize(("lock", "name"), ABSENT.values(), ids=ABSENT.keys())
def test_is_left_out(lock, name):
    assert [found for found in pins(IMAGES / lock) if re.fullmatch(name, found)] == []


PRESENT = {
    "the operator has the official client": ("operator.lock", {"kubernetes", "prometheus-client", "msgspec"}),
    "the jobs have Ray and the stores": ("jobs.lock", {"ray", "fsspec", "s3fs", "pyarrow", "aiohttp"}),
    "the trainer has Ray, for mining": ("trainer.lock", {"ray", "tf-keras", "tf-slim", "pycocotools"}),
    "the trainer for CPUs has TensorFlow": ("trainer-cpu.lock", {"tensorflow", "tensorflow-cpu"}),
    "the trainer for GPUs has TensorFlow and CUDA": (
        "trainer-gpu.lock",
        {"tensorflow", "nvidia-cudnn-cu12", "nvidia-nccl-cu12", "nvidia-cuda-nvcc-cu12"},
    ),
}


@pytest.mark.parametrize(("lock", "expected"), PRESENT.values(), ids=PRESENT.keys())
def test_is_there(lock, expected):
    assert expected <= pins(IMAGES / lock).keys()


def test_the_trainer_has_everything_that_the_jobs_have():
    trainer = pins(IMAGES / "trainer.lock").items() | pins(IMAGES / "trainer-cpu.lock").items()
    assert pins(IMAGES / "jobs.lock").items() <= trainer


def test_both_trainers_have_the_same_tensorflow_on_every_machine():
    cpu, gpu = pins(IMAGES / "trainer-cpu.lock"), pins(IMAGES / "trainer-gpu.lock")
    assert {cpu["tensorflow-cpu"], cpu["tensorflow"]} == {gpu["tensorflow"]}


def test_the_trainer_for_cpus_has_one_tensorflow_a_machine():
    """Two would overwrite each other's files."""
    text = (IMAGES / "trainer-cpu.lock").read_text()
    markers = {name: re.search(rf"^{name}==\S+ ; (.*?) \\$", text, re.MULTILINE)[1] for name in ("tensorflow", "tensorflow-cpu")}
    for machine in ({"platform_machine": "x86_64"}, {"platform_machine": "aarch64"}):
        environment = {"sys_platform": "linux"} | machine
        assert sum(Marker(marker).evaluate(environment) for marker in markers.values()) == 1


EXTRAS = {"operator": ("cluster",), "jobs": ("cluster", "jobs"), "trainer": ("cluster", "jobs", "training")}
NEEDED_BY_PLAN_ONLY = {"fsspec", "numpy"}


@pytest.mark.parametrize("image", EXTRAS)
def test_what_the_distribution_asks_for_is_in_the_image(image):
    """A dependency that is only in pyproject.toml would be missing in the cluster only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS[image] for line in project["optional-dependencies"][extra])]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in wanted} - {"negset"}
    if image == "operator":
        names -= NEEDED_BY_PLAN_ONLY
    assert names <= set().union(*(pins(lock) for lock in IMAGES.glob(f"{image}*.lock")))


# --- the recipe ---

RECIPE = (IMAGES / "Dockerfile").read_text()


def stage(name: str) -> str:
    """The lines of one stage, from its FROM to the next."""
    (found,) = re.findall(rf"^FROM \S+ AS {name}\n(?:(?!FROM ).*\n)*", RECIPE, re.MULTILINE)
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_as_a_number_that_is_not_root(target):
    assert "\nUSER 10001:10001\n" in stage(target)


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_has_its_own_libraries_below_the_code_that_changes(target):
    copies = re.findall(r"^COPY --from=(\S+)", stage(target), re.MULTILINE)
    assert copies == [f"{target}-libraries", "package"]


def test_the_base_is_named_without_a_registry_and_can_be_given_by_digest():
    stages = re.findall(r"^FROM (\S+) AS (\S+)", RECIPE, re.MULTILINE)
    assert [base for base, _ in stages if base not in {name for _, name in stages}] == ["${BASE}"]
    assert "ARG BASE=debian:bookworm-slim\n" in RECIPE


def test_everything_is_installed_by_hash_or_from_the_build_itself():
    commands = re.findall(r"pip (?:--python \S+ )?install .*|\$\{INSTALL\} .*", RECIPE)
    definition, *installs = sorted(commands, key=lambda command: "--hash" in command or "-r" in command or "dist" in command)
    assert definition.endswith('--no-cache-dir --no-deps"')
    assert len(installs) == 6
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command
        assert command.startswith("${INSTALL}") or "--no-deps" in command


def test_there_is_a_target_for_each_image():
    named = set(re.findall(r"^FROM runtime AS (\S+)", RECIPE, re.MULTILINE))
    assert named == set(TARGETS)
