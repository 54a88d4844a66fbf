"""The file with the manifest, as people write it."""

import pytest
import yaml

from negset_api.errors import InvalidInput
from negset_jobs.commands.manifest_file import document


def test_a_key_that_is_written_twice_is_refused_because_one_of_them_would_have_no_effect(tmp_path):
    path = tmp_path / "street.yaml"
    path.write_text("spec:\n  excludeClasses: [person]\n  selection: {count: 6}\n  excludeClasses: [dog]\n")
    with pytest.raises(InvalidInput, match=r"expected each key of a mapping once in '.*', got 'excludeClasses' twice \(line 4\)"):
        document(str(path))


def test_the_same_key_in_two_mappings_and_a_merged_one_are_read(tmp_path):
    path = tmp_path / "street.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n")
    assert document(str(path)) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": yaml.safe_load(path.read_text())["c"]}
