"""The page: what it says, that it stands alone, and that what strangers wrote stays text."""

import html.parser
import itertools
import re

import msgspec
import pytest

from negset_api.values import License, Measurement
from negset_jobs.reporting import charts, thumbnails
from negset_jobs.reporting.blocks import Link, link
from negset_jobs.reporting.cards import scored_cards
from negset_jobs.reporting.data_sections import readable
from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.page import compose, render

VOID = {"meta", "link", "img", "source", "br", "hr", "input"}


class Outline(html.parser.HTMLParser):
    """Every tag with its attributes, the text, and whether tags close in order."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page(facts, report):
    return render(compose(facts, report))


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_the_page_asks_nobody_for_anything(page, outline):
    addresses = [image["src"] for image in outline.named("img")] + [source["srcset"] for source in outline.named("source")]
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert not {"script", "link", "iframe", "object", "embed", "form", "video", "audio"} & {tag for tag, _ in outline.tags}
    assert not re.search(r"url\(|@import", page)
    policy = next(meta for meta in outline.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy["content"]


def test_the_contents_lead_to_every_section_and_ids_are_unique(outline):
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {attributes["href"][1:] for attributes in outline.named("a") if attributes["href"].startswith("#")}
    assert anchors <= set(ids)
    assert {section["id"] for section in outline.named("section") if "id" in section} <= anchors


def test_pictures_have_texts_and_tables_have_captions_and_scopes(outline):
    assert all(image["alt"] for image in outline.named("img"))
    assert len(outline.named("caption")) == len(outline.named("table"))
    assert all(head["scope"] in {"row", "col"} for head in outline.named("th"))
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_section_of_a_trained_data_set_is_there(facts, report):
    assert [section.key for section in compose(facts, report).sections] == [
        "asked",
        "effect",
        "worst",
        "hard",
        "review",
        "training",
        "chosen",
        "examples",
        "positives",
        "licences",
        "failed",
        "reproduce",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "fell from 1.10 to 0.019 per picture (\u221298 %) at recall 0.80",
        "show no disc, spread evenly over what else they show with seed 0",
        "Of 850 pictures, 500 are and pass every filter; 400 of them were planned and 395 stored",
        "5 of 400 planned pictures (1.2 %) were not stored",
        "CC0 1.0 Universal",
        "4 negatives may show an object that the annotations do not have",
        "revision a1b2c3d4e5f6",
        "ssd-mobilenet-v2-tiny-96",
        "404 Not Found",
        "tensorflow-cpu 2.15.1",
    ],
)
def test_the_page_says(outline, text):
    assert text in outline.text


def test_without_training_the_page_is_about_the_data_alone(without_training):
    report = summarise(without_training, "0.1.0")
    page = compose(without_training, report)
    assert [section.key for section in page.sections] == ["asked", "chosen", "examples", "licences", "failed", "reproduce"]
    assert page.headline == "395 pictures without disc are stored; 5 of 400 failed"
    Outline(render(page))


HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


def test_what_strangers_wrote_stays_text(facts):
    changed = msgspec.structs.replace(
        facts,
        plan=msgspec.structs.replace(
            facts.plan,
            excluded_classes=(HOSTILE,),
            remaining_classes={HOSTILE: 3},
            rejected={HOSTILE: 1},
            licenses=(License(id=1, name=HOSTILE, url="javascript:alert(1)", images=1), *facts.plan.licenses[1:]),
        ),
        planned={
            name: msgspec.structs.replace(image, scene=HOSTILE, reason=HOSTILE, page=f'https://host/"{HOSTILE}', license=1)
            for name, image in facts.planned.items()
        },
    )
    outline = Outline(render(compose(changed, summarise(changed, "0.1.0"))))
    assert not outline.named("script")
    assert all("onerror" not in attributes for _, attributes in outline.tags)
    assert all(anchor["href"].startswith(("#", "https://", "http://")) for anchor in outline.named("a"))
    assert HOSTILE in outline.text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "https://", "file:///etc/passwd", "http://[bad"])
def test_only_web_pages_become_links(url):
    assert link("text", url) == "text"
    assert link("text", "https://example.org/a") == Link("text", "https://example.org/a")


def test_a_mark_stays_within_the_picture_and_only_what_reaches_the_threshold_is_marked(facts):
    (card,) = scored_cards(facts, [facts.trained[0].worst[1]], 0.95)
    assert [mark.label for mark in card.marks] == ["0.97"]
    (card,) = scored_cards(facts, [facts.trained[0].worst[1]], 0.99)
    assert [mark.label for mark in card.marks] == ["0.97"]
    outside = msgspec.structs.replace(facts.trained[0].worst[1].detections[0], xmin=-0.5, ymin=0.9, xmax=0.25, ymax=1.5)
    (card,) = scored_cards(facts, [msgspec.structs.replace(facts.trained[0].worst[1], detections=(outside,))], 0.5)
    (mark,) = card.marks
    assert (mark.left, mark.top, mark.width, round(mark.height)) == (0, 90, 25, 10)


def test_pictures_that_are_missing_or_broken_are_left_out(facts):
    broken = {name: msgspec.structs.replace(picture, encoded=b"not a picture") for name, picture in facts.pictures.items()}
    report = summarise(facts, "0.1.0")
    for pictures in ({}, broken):
        page = compose(msgspec.structs.replace(facts, pictures=pictures), report)
        kinds = [block.kind for section in page.sections if section.key in {"examples", "worst", "review"} for block in section.blocks]
        assert "gallery" not in kinds


def test_the_page_is_the_same_each_time_and_stays_small(facts, report, page):
    assert render(compose(facts, report)) == page
    assert len(page) < 1_500_000


def test_the_manifest_shows_what_was_given_and_not_what_is_default(facts):
    manifest = readable(facts.dataset)
    assert manifest["kind"] == "NegativeDataset"
    assert manifest["metadata"] == {"name": "demo"}
    assert manifest["spec"]["training"]["steps"] == 500
    assert "download" not in manifest["spec"]
    assert "workers" not in manifest["spec"]["training"]


def test_the_numbers_are_those_of_the_values(facts, report):
    assert [each.round for each in report.rounds] == [0, 1, 2]
    assert [each.hard_negatives for each in report.rounds] == [0, 0, 27]
    assert report.review == ("57", "58", "59", "60")
    assert sum(report.outcomes.values()) == report.planned
    assert report.page == "report/index.html"


def test_a_recall_out_of_reach_is_said_at_the_top(facts):
    def unreached(trained):
        measured = msgspec.structs.replace(trained.measurement, recall=0.41)
        return msgspec.structs.replace(trained, measurement=measured)

    assert isinstance(facts.trained[0].measurement, Measurement)
    changed = msgspec.structs.replace(facts, trained=(*facts.trained[:2], unreached(facts.trained[2])))
    page = compose(changed, summarise(changed, "0.1.0"))
    assert page.mood == "neutral"
    assert "but not at the same recall" in page.headline
    assert any("reaches a recall of 0.41 at most" in detail for detail in page.details)


def test_a_declined_review_is_explained(facts):
    mining = msgspec.structs.replace(facts.mined[0], review=(), review_declined=80)
    changed = msgspec.structs.replace(facts, mined=(mining,))
    text = Outline(render(compose(changed, summarise(changed, "0.1.0")))).text
    assert "sure of an object in 80 of the 237 negatives" in text


def test_one_picture_for_review_is_spoken_of_as_one_and_an_unknown_speed_as_unknown(facts):
    mining = msgspec.structs.replace(facts.mined[0], review=facts.mined[0].review[:1], hard_images=0, hardest=())
    slow = msgspec.structs.replace(facts.trained[1], steps_per_second=0.0)
    changed = msgspec.structs.replace(facts, mined=(mining,), trained=(facts.trained[0], slow, facts.trained[2]))
    text = Outline(render(compose(changed, summarise(changed, "0.1.0")))).text
    assert "1 negative may show an object" in text
    assert "It is left out of the next round" in text
    assert "Nothing else that it was trained on fools the model of round 1" in text
    assert "Round 1 500 unknown unknown" in text


def test_a_running_median_ignores_a_spike_and_keeps_the_length():
    assert charts.running_median([1, 1, 9, 1, 1], 1) == [1, 1, 1, 1, 1]
    assert charts.running_median([3, 1], 5) == [2, 2]


def test_a_large_picture_becomes_small_and_a_small_one_stays(facts):
    import base64
    import io

    from PIL import Image

    def size(encoded):
        with Image.open(io.BytesIO(base64.b64decode(thumbnails.thumbnail(encoded).partition(",")[2]))) as picture:
            return picture.size

    stream = io.BytesIO()
    Image.new("L", (3000, 1500)).save(stream, "PNG")
    assert size(stream.getvalue()) == (200, 100)
    assert size(facts.pictures["1"].encoded) == (144, 128)
