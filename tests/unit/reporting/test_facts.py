"""Which images and failures a report shows, and which it leaves out."""

from negset_api.values import ImageResult, Outcome, Plan, PlannedImage, ShardPlan, ShardResult
from negset_jobs.reporting.facts import first_failures, held_out_images, scored_to_show, spread, worst_rounds


def planned(number, stratum):
    return PlannedImage(image_id=number, url=f"http://host/{number}.jpg", file_name=f"{number}.jpg", stratum=stratum)


def test_the_gallery_takes_strata_in_turn():
    images = [planned(1, "cat"), planned(2, "cat"), planned(3, "cat"), planned(4, "dog"), planned(5, "bus"), planned(6, "dog")]
    assert [image.image_id for image in spread(images, 5)] == [1, 4, 5, 2, 6]


def test_the_gallery_takes_all_where_there_are_few():
    assert len(spread([planned(1, "cat")], 24)) == 1
    assert spread([], 24) == []


def test_the_first_failures_of_each_outcome_are_named_in_plan_order():
    outcomes = [Outcome.NOT_FOUND, Outcome.STORED, Outcome.NOT_FOUND, Outcome.TIMEOUT, Outcome.NOT_FOUND]
    pairs = [(planned(n, ""), ImageResult(image_id=n, outcome=outcome)) for n, outcome in enumerate(outcomes)]
    assert [failure.image.image_id for failure in first_failures(pairs, 2)] == [0, 2, 3]


def test_what_is_compared_shows_its_worst_before_and_after(facts):
    assert [each.arm for each in worst_rounds(facts.trained, facts.others)] == ["NoNegatives", "Mined"]
    assert [each.number for each in worst_rounds(facts.trained, facts.others[:1])] == [1, 2]
    assert [each.number for each in worst_rounds(facts.trained[:1], ())] == [1]
    assert worst_rounds((), ()) == ()
    shown = [image.image_id for image in scored_to_show(worst_rounds(facts.trained, facts.others), facts.mined)]
    assert "1" in shown
    assert "20" in shown
    assert "60" in shown


def a_plan(**splits):
    """Shards of images, given as id → sha256, empty where nothing was stored."""
    shards, results = [], []
    for split, images in splits.items():
        listed = tuple(planned(number, "") for number in images)
        shards.append(ShardPlan(name=split, split=split, images=listed))
        ended = tuple(
            ImageResult(image_id=number, outcome=Outcome.STORED if sha256 else Outcome.TIMEOUT, sha256=sha256, width=8, height=6)
            for number, sha256 in images.items()
        )
        results.append(ShardResult(name=split, split=split, input_digest="", file="", sha256="", bytes=0, results=ended))
    plan = Plan(
        input_digest="",
        excluded_classes=(),
        categories={},
        candidates=0,
        planned=0,
        rejected={},
        bytes_estimate=0,
        licenses=(),
        remaining_classes={},
        image_ids=(),
        shards=tuple(shards),
    )
    return plan, results


def test_held_out_images_are_those_that_were_stored_with_the_size_of_what_was_stored():
    plan, results = a_plan(train={1: "a"}, heldout={5: "b", 9: ""})
    found = held_out_images(plan, results)
    assert found.keys() == {"5"}
    assert (found["5"].image_id, found["5"].file_name, found["5"].width, found["5"].height) == (5, "5.jpg", 8, 6)
