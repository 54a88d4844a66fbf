"""Each program is built from its pinned module, with its tags, into a folder with its version."""

from __future__ import annotations

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "cluster"))

from testbed import binaries


@pytest.mark.parametrize(("name", "tags"), [("promtool", ["-tags", "remove_all_sd"]), ("helm", [])])
def test_a_program_is_built_with_its_tags_and_no_others(monkeypatch, tmp_path, name, tags):
    built = []
    monkeypatch.setenv("NEGSET_CACHE", str(tmp_path))
    monkeypatch.setattr(binaries, "module_folder", lambda module: f"source of {module.path}")
    monkeypatch.setattr(binaries, "_build", lambda *arguments: built.append(arguments))
    wanted = binaries.PROGRAMS[name]
    path = binaries.program(name)
    assert path == str(tmp_path / "bin" / f"{name}-{wanted.module.version}" / name)
    assert built == [(path, ["-trimpath", "-ldflags", "-s -w", *tags], wanted.package, f"source of {wanted.module.path}")]
