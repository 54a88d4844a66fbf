import pytest

from negset_api.values import Outcome
from negset_jobs.download.http import failure_of_status, of_signature, opted_out, user_agent


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], False, id="no header"),
        pytest.param(["noai"], True, id="no use by AI"),
        pytest.param(["NoImageAI"], True, id="directives have no case"),
        pytest.param(["nofollow, noindex"], True, id="one of several"),
        pytest.param(["none"], True, id="none is noindex and nofollow"),
        pytest.param(["all"], False, id="everything is allowed"),
        pytest.param(["nofollow"], False, id="following links is not our business"),
        pytest.param(["otherbot: noai"], False, id="for another robot"),
        pytest.param(["negset: noai"], True, id="for us"),
        pytest.param(["otherbot: noai", "noindex"], True, id="for another robot and for all"),
        pytest.param(["unavailable_after: 25 Jun 2010 15:00:00 PST"], False, id="a directive with a value"),
        pytest.param(["max-image-preview: large, noindex"], True, id="a directive with a value before one that counts"),
        pytest.param(["noindex, max-snippet: 20"], True, id="a directive with a value after one that counts"),
    ],
)
def test_who_is_sent_away(values, expected):
    assert opted_out(values) is expected


@pytest.mark.parametrize("status", [200, 203, 206])
def test_success_is_no_failure(status):
    assert failure_of_status(status, "OK", None) is None


def test_only_transient_errors_have_a_pause():
    assert failure_of_status(503, "Service Unavailable", "7").wait_seconds == 7
    assert failure_of_status(404, "Not Found", "7").wait_seconds is None
    assert failure_of_status(304, "Not Modified", None).outcome == "client_error"
    assert failure_of_status(599, "", None).detail == "HTTP 599"


def test_the_user_agent_names_the_contact_where_there_is_one():
    assert user_agent("").startswith("negset/")
    assert " " not in user_agent("")
    assert user_agent("me@example.org").endswith(" (+me@example.org)")


SIGNED = {
    "of S3": ("https://h.test/a.jpg?X-Amz-Date=1&X-Amz-Signature=a", True),
    "of Google": ("https://h.test/a.jpg?GoogleAccessId=x&Expires=1&Signature=a", True),
    "of Azure": ("https://h.test/a.jpg?sv=2024&sig=a", True),
    "none": ("https://h.test/a.jpg?size=large", False),
    "no query": ("https://h.test/a.jpg", False),
}


@pytest.mark.parametrize(("url", "expected"), SIGNED.values(), ids=SIGNED)
def test_a_refused_signed_url_says_that_it_may_have_expired(url, expected):
    failure = of_signature(failure_of_status(403, "Forbidden", None), url)
    assert failure.outcome is Outcome.FORBIDDEN
    assert ("may have expired" in str(failure)) is expected
    assert "expired" not in str(of_signature(failure_of_status(404, "Not Found", None), url))
