"""The page: what it says, that it stands alone, and that what strangers wrote stays text."""

import html.parser
import itertools
import re

import msgspec
import pytest
from tests.unit.reporting.models import drawn, model, scored

from negset_api.values import Copies, CopyCounts, License
from negset_jobs.copies.find import Image, Pair
from negset_jobs.reporting import plotting
from negset_jobs.reporting.copied import CopiedPair
from negset_jobs.reporting.evaluation import evaluate
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


def composed(facts):
    evaluation = evaluate(facts)
    return compose(facts, evaluation, summarise(facts, evaluation, "0.1.0"))


def outlined(facts):
    return Outline(render(composed(facts)))


@pytest.fixture(autouse=True)
def quick_charts(monkeypatch, request):
    """Drawing takes most of the time, so only tests that look at the whole page do it."""
    if not {"page", "outline"} & set(request.fixturenames):
        monkeypatch.setattr(plotting, "_render", lambda *_: "data:image/svg+xml;base64,")


@pytest.fixture(scope="module")
def page(facts):
    return render(composed(facts))


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_the_page_loads_nothing_else(page, outline):
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


def test_images_have_texts_and_tables_have_captions_and_scopes(outline):
    assert all(image["alt"] for image in outline.named("img"))
    assert len(outline.named("caption")) == len(outline.named("table"))
    assert all(head["scope"] in {"row", "col"} for head in outline.named("th"))
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_section_of_a_trained_dataset_is_there(facts):
    assert [section.key for section in composed(facts).sections] == [
        "request",
        "effect",
        "lies-on",
        "worst",
        "curves",
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
        "Mined negatives cut false positives per held-out negative from 1.02 to 0.006 (\u221299 %, 95 % interval",
        "Measured on 160 held-out negatives and 140 held-out positives",
        "With no negatives, ",
        "lie on square",
        "117 120 31 0.05 27 27 4",
        'confirmedNegatives: ["57", "58", "59", "60"]',
        "report/detections-RandomNegatives.json",
        "show no disc, drawn at random with seed 0",
        "Of 850 images, 500 are negative and pass every filter. Of these, 400 were planned and 395 stored",
        "5 of 400 planned images (1.2 %) were not stored",
        "CC0 1.0 Universal",
        "4 negatives may show an object that is not annotated",
        "revision a1b2c3d4e5f6",
        "ssd-mobilenet-v2-tiny-96",
        "404 Not Found",
        "tensorflow-cpu 2.15.1",
        "Images without objects 41 Crowds 7",
        "12 images stored turned upright, as the EXIF says",
        "Positives that could not be stored: 3 invalid annotation. positives/failed.jsonl lists them.",
    ],
)
def test_the_page_says(outline, text):
    assert text in outline.text


def test_without_training_the_page_is_only_about_the_data(without_training):
    page = composed(without_training)
    assert [section.key for section in page.sections] == ["request", "chosen", "examples", "licences", "failed", "reproduce"]
    assert page.headline == "395 images without disc are stored; 5 of 400 failed"
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
            name: msgspec.structs.replace(image, stratum=HOSTILE, reason=HOSTILE, page=f'https://host/"{HOSTILE}', license=1)
            for name, image in facts.planned.items()
        },
    )
    outline = outlined(changed)
    assert not outline.named("script")
    assert all("onerror" not in attributes for _, attributes in outline.tags)
    assert all(anchor["href"].startswith(("#", "https://", "http://")) for anchor in outline.named("a"))
    assert HOSTILE in outline.text


def test_images_that_are_missing_or_broken_are_left_out(facts):
    broken = {name: msgspec.structs.replace(encoded_image, encoded=b"not an image") for name, encoded_image in facts.encoded_images.items()}
    for encoded_images in ({}, broken):
        page = composed(msgspec.structs.replace(facts, encoded_images=encoded_images))
        kinds = [block.kind for section in page.sections if section.key in {"examples", "worst", "review"} for block in section.blocks]
        assert "gallery" not in kinds


def test_the_page_is_the_same_each_time_and_stays_small(facts, page):
    assert render(composed(facts)) == page
    assert len(page) < 1_500_000


def test_copies_that_were_left_out_are_counted_at_the_top_and_shown_beside_what_they_are_copies_of(facts):
    images = {name: facts.encoded_images[name].encoded for name in ("1", "2", "3")}
    near = Pair(image=an_image("1"), other=an_image("7", positive=True), exact=False, distance=4, held_out=True)
    exact = Pair(image=an_image("2"), other=an_image("8"), exact=True, distance=0, held_out=True)
    copies = Copies(
        input_digest="", counts=CopyCounts(exact_negatives=1, near_negatives=1), held_out=300, others=1234, plain=2, table="copies.parquet"
    )
    shown = (CopiedPair(near, images["1"], images["2"]), CopiedPair(exact, images["3"], images["3"]))
    changed = msgspec.structs.replace(facts, copies=copies, copied=shown)
    outline = outlined(changed)
    assert "2 held-out negatives are copies of training images: 1 exact and 1 near" in " ".join(composed(changed).details)
    assert (
        "300 held-out images were compared with 1,234 images of the training set and the pool. 2 images have too little detail"
        in outline.text
    )
    assert "Held-out negatives 1 1 Held-out positives 0 0" in outline.text
    pairs = [image for image in outline.named("img") if "next to its copy" in image["alt"]]
    assert [image["alt"] for image in pairs] == [
        "Held-out negative 1 next to its copy, positive 7",
        "Held-out negative 2 next to its copy, negative 8",
    ]
    assert (pairs[0]["width"], pairs[0]["height"]) == ("288", "128"), "two images of 144 by 128 pixels"
    assert "4 of 256 bits of their hashes differ" in outline.text


def test_negatives_that_look_like_positives_are_counted_and_shown_on_the_left(facts):
    images = {name: facts.encoded_images[name].encoded for name in ("1", "2")}
    trains = Pair(image=an_image("1"), other=an_image("7", positive=True), exact=False, distance=4, held_out=False)
    held_out = Pair(image=an_image("8", positive=True), other=an_image("2"), exact=False, distance=6, held_out=True)
    copies = Copies(input_digest="", held_out=300, others=1234, table="copies.parquet", like_positives=2)
    shown = tuple(CopiedPair(pair, images["1"], images["2"]) for pair in (held_out, trains))
    outline = outlined(msgspec.structs.replace(facts, copies=copies, copied=shown))
    assert "2 negatives look like a positive, apart from size, quality, brightness or a turn." in outline.text
    assert "copies.parquet lists all pairs" in outline.text
    assert "near_copy_of and near_copy_kind of manifest.parquet" in outline.text
    pairs = [image for image in outline.named("img") if "which it looks like" in image["alt"]]
    assert [image["alt"] for image in pairs] == [
        "Left: negative 2. Right: positive 8, which it looks like",
        "Left: negative 1. Right: positive 7, which it looks like",
    ]
    assert pairs[0]["src"] != pairs[1]["src"], "the negative is on the left, whichever comes first in the pair"
    assert "Negatives that look like positives" not in outlined(facts).text


def test_where_no_held_out_image_is_a_copy_that_is_said(facts):
    changed = msgspec.structs.replace(facts, copies=Copies(input_digest="", held_out=300, others=1234, table="copies.parquet"))
    assert "None is a copy, so none was excluded." in outlined(changed).text
    assert "Held-out copies" not in outlined(facts).text, "nothing was compared"


def an_image(image_id, *, positive=False):
    return Image(image_id=image_id, positive=positive, records="")


def test_a_recall_out_of_reach_is_said_at_the_top(facts):
    weak = drawn(12, false_positives=0.02)
    blind = msgspec.structs.replace(
        weak, positives=tuple(image if index % 3 else scored(image.image_id) for index, image in enumerate(weak.positives))
    )
    judged = model(blind, number=2)
    changed = msgspec.structs.replace(
        facts, trained=(facts.trained[0], judged.round), evidence=(facts.evidence[0], judged, *facts.evidence[2:])
    )
    page = composed(changed)
    assert page.mood == "bad"
    assert page.headline.startswith("The wanted recall of 0.80 was not reached")
    assert "%" not in page.headline
    assert "→" not in page.tiles[0].value


def test_a_learning_rate_of_nothing_is_noticed(facts):
    still = msgspec.structs.replace(
        facts.trained[1], losses=tuple(msgspec.structs.replace(point, learning_rate=0.0) for point in facts.trained[1].losses)
    )
    assert "The learning rate was 0 at every logged step" not in outlined(facts).text
    text = outlined(msgspec.structs.replace(facts, trained=(facts.trained[0], still))).text
    assert "The learning rate was 0 at every logged step of Round 2, so nothing was learned." in text


@pytest.mark.parametrize(
    ("percent", "reason"),
    [(100, "firstRoundPercent is 100, so round 1 trains on every training negative"), (50, "the selection was too small to divide")],
)
def test_where_there_is_no_pool_the_reason_is_said(facts, percent, reason):
    spec = facts.dataset.spec
    rules = msgspec.structs.replace(spec.training.hard_negative_mining, first_round_percent=percent)
    spec = msgspec.structs.replace(spec, training=msgspec.structs.replace(spec.training, hard_negative_mining=rules))
    mining = msgspec.structs.replace(facts.mined[0], pool=0)
    dataset = msgspec.structs.replace(facts.dataset, spec=spec)
    assert f"There was no pool: {reason}" in outlined(msgspec.structs.replace(facts, dataset=dataset, mined=(mining,))).text


def test_what_a_person_has_confirmed_is_said(facts):
    spec = facts.dataset.spec
    rules = msgspec.structs.replace(spec.training.hard_negative_mining, confirmed_negatives=("7", "8"))
    spec = msgspec.structs.replace(spec, training=msgspec.structs.replace(spec.training, hard_negative_mining=rules))
    text = outlined(msgspec.structs.replace(facts, dataset=msgspec.structs.replace(facts.dataset, spec=spec))).text
    assert "The manifest confirms 2 images as true negatives. They are used for training and are not listed here." in text
    assert "The manifest confirms" not in outlined(facts).text


def test_without_boxes_what_false_positives_lie_on_is_not_known(facts):
    assert "The annotations have no boxes for the held-out negatives" in outlined(msgspec.structs.replace(facts, annotated={})).text


def test_a_declined_review_is_explained(facts):
    mining = msgspec.structs.replace(facts.mined[0], review=(), review_declined=80)
    changed = msgspec.structs.replace(facts, mined=(mining,))
    assert "finds an object with a high score in 80 of the 120 negatives" in outlined(changed).text


def test_one_image_for_review_is_spoken_of_as_one_and_an_unknown_speed_as_unknown(facts):
    mining = msgspec.structs.replace(facts.mined[0], review=facts.mined[0].review[:1], added=0, hard_images=0, hardest=())
    slow = msgspec.structs.replace(facts.trained[0], steps_per_second=0.0)
    text = outlined(msgspec.structs.replace(facts, mined=(mining,), trained=(slow, facts.trained[1]))).text
    assert "1 negative may show an object" in text
    assert "It is excluded from the next round" in text
    assert "No negative in the pool scores 0.05 or more with the model of round 1, so none was added." in text
    assert "Round 1 500 500 unknown unknown" in text
