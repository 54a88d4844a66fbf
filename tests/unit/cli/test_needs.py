"""Which extras a command needs. What is missing is named before any work."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from fsspec.registry import _registry

from negset_api import extras, names, validation
from negset_api.errors import CannotRunHere
from negset_jobs.adapters.access import Access
from negset_jobs.commands import needs

EXTRA = {extra: tuple(packages) for extra, packages in extras.PACKAGES.items()}
# cel, which is no extra, imports rich.
ALL = tuple(module for modules in EXTRA.values() for module in modules if module != "rich")
# What has Linux alone, and what macOS has too but Windows does not.
FOREIGN = {"errno": ("EREMOTEIO",), "os": ("fork", "sysconf", "killpg"), "signal": ("SIGKILL",), "socket": ("AF_UNIX", "AF_NETLINK")}

# What Windows does in place of socket pairs (Lib/socket.py, `_fallback_socketpair`).
SOCKET_PAIR = """
def pair(*_):
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.create_connection(server.getsockname())
        return first, server.accept()[0]
socket.socketpair = pair
"""

DATA = {
    "source": {"coco": {"annotations": "instances.json"}},
    "excludeClasses": ["person"],
    "selection": {"count": 2},
    "output": {"url": "out"},
}
TRAINING = {
    **DATA,
    "positives": {"tfrecords": ["p.tfrecord"]},
    "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1},
}
ANNOTATIONS = {
    "images": [{"id": number, "file_name": f"{number}.jpg", "coco_url": f"http://example.org/{number}.jpg"} for number in (1, 2, 3)],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 1, "name": "person"}],
}


def document(spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "street"}, "spec": spec}


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, spec in {"data": DATA, "training": TRAINING}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document(spec)))
    (tmp_path / "instances.json").write_text(json.dumps(ANNOTATIONS))
    return tmp_path


def negset(
    folder: pathlib.Path, *words: str, without: tuple[str, ...], program: str = "negset_jobs.cli", foreign: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command in an installation that lacks these modules.

    `foreign` also takes away what Windows does not have. The standard library has been imported
    before, because it chooses its modules by the system.
    """
    lines = [
        "import sys, asyncio, fsspec, http.server, multiprocessing, numpy, subprocess",
        f"sys.modules.update(dict.fromkeys({without!r}))",
    ]
    if foreign:
        lines += [
            f"import {module}; [hasattr({module}, name) and delattr({module}, name) for name in {gone!r}]"
            for module, gone in FOREIGN.items()
        ]
        lines += [SOCKET_PAIR, "sys.modules.update(dict.fromkeys(('fcntl', 'grp', 'pwd', 'resource', 'termios')))"]
    lines += [f"from {program} import main", f"sys.exit(main({list(words)!r}))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("foreign", [False, True], ids=["", "and without what Windows does not have"])
def test_base_commands_need_no_extra(folder, foreign):
    def run(*words):
        ended = negset(folder, *words, without=ALL, foreign=foreign)
        assert (ended.returncode, ended.stderr if words[0] != "init" else "") == (0, ""), ended.stderr
        return ended.stdout

    assert "usage: negset" in negset(folder, "--help", without=ALL, foreign=foreign).stdout
    assert run("validate", "training.yaml") == "default/street is valid\n"
    assert sorted(json.loads(run("plan", "--json", "training.yaml"))["imageIds"]) == [2, 3]
    assert "kind: CustomResourceDefinition" in run("crd")
    assert run("init", "new.yaml") == "new.yaml\n"
    assert run("validate", "new.yaml") == "default/new is valid\n"


def test_the_address_guard_lets_windows_make_an_event_loop(folder):
    """It refuses the URL's own address, and not the loopback over which a loop wakes itself."""
    source = {"coco": {"annotations": "http://192.0.2.1/instances.json"}}
    (folder / "web.yaml").write_text(json.dumps(document({**DATA, "source": source})))
    ended = negset(folder, "plan", "web.yaml", without=ALL, foreign=True)
    assert (ended.returncode, "192.0.2.1 is not allowed" in ended.stderr) == (2, True), ended.stderr


JOBS = "defusedxml, google-crc32c, imagehash, jinja2, matplotlib, pillow, protobuf and pyarrow"
REFUSED = {
    "run without jobs": (("run", "data.yaml"), ALL, f"negset run needs {JOBS}, which are not installed: pip install 'negset[jobs]'"),
    "run with training, but without TensorFlow": (
        ("run", "training.yaml"),
        EXTRA["training"],
        "negset run needs pycocotools, tensorflow, tf-keras and tf-slim, which are not installed: pip install 'negset[training]'",
    ),
    "demo without TensorFlow": (
        ("demo",),
        ("tensorflow",),
        "negset demo needs tensorflow, which is not installed: pip install 'negset[training]'",
    ),
    "a job of the data on a cluster": (
        ("job", "data", "--file", "data.yaml", "--cluster"),
        EXTRA["cluster"],
        "negset job data needs kubernetes and prometheus-client, which are not installed: pip install 'negset[cluster]'",
    ),
    "a job that trains": (
        ("job", "train", "--file", "training.yaml", "--round", "1"),
        ("tensorflow",),
        "negset job train needs tensorflow, which is not installed: pip install 'negset[training]'",
    ),
}


@pytest.mark.parametrize(("words", "without", "message"), REFUSED.values(), ids=REFUSED)
def test_one_line_names_the_extra_before_any_work(folder, words, without, message):
    before = sorted(folder.rglob("*"))
    ended = negset(folder, *words, without=without)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"negset: {message}\n")
    assert sorted(folder.rglob("*")) == before


def test_the_operator_names_the_extra_and_helps_without_it(folder):
    helped = negset(folder, "--help", without=ALL, program="negset_operator.main", foreign=True)
    assert (helped.returncode, "--kubeconfig" in helped.stdout) == (0, True)
    ended = negset(folder, "--lease", "", without=EXTRA["cluster"], program="negset_operator.main")
    message = "negset-operator needs kubernetes and prometheus-client, which are not installed: pip install 'negset[cluster]'"
    assert (ended.returncode, ended.stderr) == (1, f"negset-operator: {message}\n")


def test_a_package_that_fails_to_import_later_is_named_and_is_no_internal_error(folder):
    ended = negset(folder, "plan", "data.yaml", without=("negset_jobs.selection.plan",))
    message = "this needs the module negset_jobs.selection.plan, which is not installed; list what else is missing with: pip check"
    assert (ended.returncode, ended.stderr) == (1, f"negset: {message}\n")


NEEDS = {
    "only data": (DATA, {"jobs"}),
    "training": (TRAINING, {"jobs", "training"}),
}


@pytest.mark.parametrize(("spec", "expected"), NEEDS.values(), ids=NEEDS)
def test_a_run_needs(spec, expected):
    assert needs.of_run(validation.parse(document(spec)).spec) == expected


STEPS = {
    "check": ({"training"}, {"training"}),  # its pod has no token
    "data": ({"jobs"}, {"jobs", "cluster"}),
    "train": ({"training"}, {"training", "cluster"}),
    "mine": ({"training"}, {"training", "cluster"}),
    "delete": (set(), set()),
}


@pytest.mark.parametrize(("stage", "here", "cluster"), [(stage, *needed) for stage, needed in STEPS.items()], ids=STEPS)
def test_a_job_needs_more_on_a_cluster_if_it_writes_the_status(stage, here, cluster):
    assert needs.of_job(stage, cluster=False) == here
    assert needs.of_job(stage, cluster=True) == cluster


BACK_ENDS = {
    "of the output": ({"output": {"url": "webhdfs://host/out"}}, "webhdfs", "requests"),
    "of the images": ({"source": {"coco": {"annotations": "a.json", "imageUrl": "oss://b/{file_name}"}}}, "oss", "ossfs"),
    "of the target of a chain": ({"source": {"coco": {"annotations": "zip://a.json::sftp://host/a.zip"}}}, "sftp", "fsspec[sftp]"),
}


@pytest.mark.parametrize(("fields", "scheme", "package"), BACK_ENDS.values(), ids=BACK_ENDS)
def test_a_missing_back_end_is_named_with_its_package(fields, scheme, package, monkeypatch):
    for module in ("paramiko", "requests", "ossfs", "fsspec.implementations.sftp", "fsspec.implementations.webhdfs"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(_registry, scheme, raising=False)  # another test may have opened one
    spec = validation.parse(document({**DATA, **fields})).spec
    with pytest.raises(CannotRunHere) as refused:
        needs.check_back_ends(spec, Access())
    assert str(refused.value) == f"URLs of the scheme {scheme!r} need {package}, which is not installed: pip install '{package}'"
    # A scheme that the administrator does not allow is the manifest's mistake.
    needs.check_back_ends(spec, Access(schemes=("s3",), local_files=False))
