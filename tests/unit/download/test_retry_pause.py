import datetime as dt

import pytest

from negset_jobs.download.retry_pause import LONGEST_BACKOFF_SECONDS, LONGEST_REQUESTED_SECONDS, retry_after, wait_seconds

NOW = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("attempt", "jitter", "asked", "expected"),
    [
        pytest.param(1, 0.5, None, 0.25, id="the first pause is drawn from half a second"),
        pytest.param(4, 0.5, None, 2.0, id="each next one from twice as much"),
        pytest.param(50, 1.0, None, LONGEST_BACKOFF_SECONDS, id="up to the longest"),
        pytest.param(3, 0.0, None, 0.0, id="full jitter begins at nothing"),
        pytest.param(1, 0.5, 10.0, 10.25, id="what the server asked for is the least"),
    ],
)
def test_how_long_to_wait(attempt, jitter, asked, expected):
    assert wait_seconds(attempt, jitter, asked) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="seconds with images_without_boxes around"),
        pytest.param("Mon, 23 Nov 2026 12:01:30 GMT", 90.0, id="a date"),
        pytest.param("Mon, 23 Nov 2026 11:00:00 GMT", 0.0, id="a date that is past"),
        pytest.param("Monday, 23-Nov-26 12:00:10 GMT", 10.0, id="a date in the obsolete form"),
        pytest.param("soon", None, id="neither"),
        pytest.param("-5", None, id="a negative number is neither"),
        pytest.param("1e9999", None, id="nor is a float"),
        pytest.param("", None, id="nothing"),
        pytest.param("1.5", 1.5, id="seconds with a fraction"),
        pytest.param("9" * 5000, LONGEST_REQUESTED_SECONDS, id="a number beyond every float is the longest pause"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_REQUESTED_SECONDS, id="so is the last date that Python has"),
        pytest.param("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None, id="a year that no date can have"),
        pytest.param("Mon, 23 Nov 2026 12:00:00 +9999999999999999999", None, id="an offset that no date can have"),
        pytest.param("Sun, 01 Jan 0001 00:00:00 +2359", 0.0, id="the first date that Python has"),
        pytest.param("٣", None, id="digits of another script"),
        pytest.param("nan", None, id="not a number"),
    ],
)
def test_what_retry_after_says(value, expected):
    assert retry_after(value, NOW) == expected
