"""Links of a page."""

import pytest

from negset_jobs.reporting.blocks import Link, link


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "https://", "file:///etc/passwd", "http://[bad"])
def test_only_web_pages_become_links(url):
    assert link("text", url) == "text"
    assert link("text", "https://example.org/a") == Link("text", "https://example.org/a")
