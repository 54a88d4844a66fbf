"""Cards of images, with their marks."""

import msgspec

from negset_jobs.reporting.cards import scored_cards


def test_a_mark_stays_within_the_image_and_only_what_reaches_the_threshold_is_marked(facts):
    worst = facts.others[-1].worst[1]
    (card,) = scored_cards(facts, [worst], 0.95)
    assert [mark.label for mark in card.marks] == ["0.97"]
    (card,) = scored_cards(facts, [worst], 0.99)
    assert [mark.label for mark in card.marks] == ["0.97"]
    outside = msgspec.structs.replace(worst.detections[0], xmin=-0.5, ymin=0.9, xmax=0.25, ymax=1.5)
    (card,) = scored_cards(facts, [msgspec.structs.replace(worst, detections=(outside,))], 0.5)
    (mark,) = card.marks
    assert (mark.left, mark.top, mark.width, round(mark.height)) == (0, 90, 25, 10)
