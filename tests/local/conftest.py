"""What the tests of the whole pipeline share."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only warnings that negset's own modules cause are errors here.

    TensorFlow, Keras, Ray and their libraries warn about one another in this process. A
    `ResourceWarning` is of whichever module runs when garbage is collected (pyproject.toml).
    """
    filters = ("default", "error:::negset_", "error::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(*filters))
