"""Which pictures and failures a report shows."""

from negset_api.values import ImageResult, Outcome, PlannedImage
from negset_jobs.reporting.facts import first_failures, scored_to_show, spread, worst_rounds


def planned(number, scene):
    return PlannedImage(image_id=number, url=f"http://host/{number}.jpg", file_name=f"{number}.jpg", scene=scene)


def test_the_gallery_takes_scenes_in_turn():
    images = [planned(1, "cat"), planned(2, "cat"), planned(3, "cat"), planned(4, "dog"), planned(5, "bus"), planned(6, "dog")]
    assert [image.image_id for image in spread(images, 5)] == [1, 4, 5, 2, 6]


def test_the_gallery_takes_all_where_there_are_few():
    assert len(spread([planned(1, "cat")], 24)) == 1
    assert spread([], 24) == []


def test_the_first_failures_of_each_outcome_are_named_in_plan_order():
    outcomes = [Outcome.NOT_FOUND, Outcome.STORED, Outcome.NOT_FOUND, Outcome.TIMEOUT, Outcome.NOT_FOUND]
    pairs = [(planned(n, ""), ImageResult(image_id=n, outcome=outcome)) for n, outcome in enumerate(outcomes)]
    assert [failure.image.image_id for failure in first_failures(pairs, 2)] == [0, 2, 3]


def test_the_first_and_the_last_round_show_their_worst(facts):
    assert [each.number for each in worst_rounds(facts.trained)] == [0, 2]
    assert [each.number for each in worst_rounds(facts.trained[:1])] == [0]
    shown = [image.image_id for image in scored_to_show(facts.trained, facts.mined)]
    assert "1" in shown
    assert "20" in shown
    assert "60" in shown
