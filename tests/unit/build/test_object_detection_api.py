"""The build hook's folder is whole at every moment, whatever other builds do."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess

import pytest
from tests.conftest import ROOT


@pytest.fixture
def hook():
    spec = importlib.util.spec_from_file_location("hook", ROOT / "jobs" / "object_detection_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(hook, tmp_path):
    """A function that prepares a wheel of an empty project. Return the folder."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / hook.LOCK).write_text("a==1")

    def build() -> pathlib.Path:
        data = {"force_include": {}}
        hook.Bundle(str(tmp_path), {}, None, None, str(tmp_path), "wheel").initialize("standard", data)
        ((folder, target),) = data["force_include"].items()
        assert target == hook.BUNDLED
        return pathlib.Path(folder)

    return build


@pytest.fixture
def installing(hook, monkeypatch):
    """A function that says which parts `pip install` installs, and what else happens."""

    def installing(parts, meanwhile=lambda: None, pip=lambda *_, **__: None):
        def run(command, **options):
            pip(command, **options)
            installed = pathlib.Path(command[command.index("--target") + 1])
            for part in parts:
                file = installed / part if part.endswith(".py") else installed / part / "module.py"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            meanwhile()

        monkeypatch.setattr(hook.subprocess, "run", run)

    return installing


def parts_in(folder, hook):
    return tuple(part for part in hook.KEPT if (folder / part).exists())


def test_a_folder_that_another_build_made_meanwhile_stays(hook, build, installing):
    made = []

    def other_build():
        installing(hook.KEPT)
        made.append(os.stat(build()).st_ino)

    installing(hook.KEPT, other_build)
    folder = build()
    assert [os.stat(folder).st_ino] == made, "the other build may still read it"
    assert parts_in(folder, hook) == hook.KEPT
    assert sorted(os.listdir(folder.parent)) == [folder.name, os.path.basename(hook.LOCK)]


def test_a_build_that_fails_leaves_the_folder_of_before(hook, build, installing, tmp_path):
    installing(hook.KEPT)
    build()
    (tmp_path / hook.LOCK).write_text("a==2")
    installing(hook.KEPT[:3])
    with pytest.raises(FileNotFoundError):
        build()
    assert parts_in(tmp_path / hook.FOLDER, hook) == hook.KEPT


def test_only_another_lock_makes_the_folder_again(hook, build, installing, tmp_path):
    installing(hook.KEPT)
    (build() / "of the first").touch()
    assert (build() / "of the first").exists()
    (tmp_path / hook.LOCK).write_text("a==2")
    folder = build()
    assert not (folder / "of the first").exists()
    assert parts_in(folder, hook) == hook.KEPT


def test_where_pip_installs_for_the_user_the_build_goes_on(hook, build, installing, tmp_path, monkeypatch):
    source = tmp_path / "a"
    source.mkdir()
    (source / "setup.py").write_text("from setuptools import setup\nsetup(name='a', version='1', py_modules=[])\n")
    archive = shutil.make_archive(str(tmp_path / "a-1"), "gztar", source)
    (tmp_path / hook.LOCK).write_text(f"{pathlib.Path(archive).as_uri()} --hash=sha256:{hook._digest(archive)}\n")
    monkeypatch.setenv("PIP_USER", "1")
    installing(hook.KEPT, pip=subprocess.run)
    assert parts_in(build(), hook) == hook.KEPT
