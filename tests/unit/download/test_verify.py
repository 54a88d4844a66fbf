import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.image_server import drawn_image, encoded, jpeg

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.verify import EncodedImage, channels, decode, inspect, stored_form, transcode

PIXELS = 1_000_000
SIZE = (40, 30)


def png(mode: str = "RGB", **options) -> bytes:
    return encoded(drawn_image(1, size=SIZE).convert(mode), "PNG", **options)


def sixteen_bit_png() -> bytes:
    return encoded(Image.fromarray((np.arange(1200, dtype=np.uint16) * 50).reshape(30, 40)), "PNG")


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def with_frame(data: bytes, marker: int = 0xC0, precision: int = 8) -> bytes:
    """Return the JPEG with another frame marker or sample precision."""
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes((marker,)) + data[at + 2 : at + 4] + bytes((precision,)) + data[at + 5 :]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


JPEG = jpeg(1, size=SIZE)

KEPT = {
    "a baseline JPEG": (JPEG, "jpeg"),
    "a progressive JPEG": (jpeg(1, size=SIZE, progressive=True), "jpeg"),
    "a grey JPEG": (jpeg(1, size=SIZE, mode="L"), "jpeg"),
    "a JPEG with padding after its end": (JPEG + bytes(100), "jpeg"),
    "a JPEG with another file after its end": (JPEG + b"trailer of a telephone", "jpeg"),
    "a JPEG with fill bytes before a marker": (JPEG[:2] + b"\xff\xff" + JPEG[2:], "jpeg"),
    "a JPEG with a thumbnail in its header": (JPEG[:2] + segment(0xE1, jpeg(2, size=(8, 8))) + JPEG[2:], "jpeg"),
    "a PNG in colour": (png(), "png"),
    "a grey PNG": (png("L"), "png"),
    "a black and white PNG": (png("1"), "png"),
    "a PNG with a palette": (png("P"), "png"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_the_object_detection_api_decodes_is_kept_as_it_came(name):
    data, image_format = KEPT[name]
    assert inspect(data, PIXELS) == EncodedImage(data, image_format, *SIZE)


TRANSCODED = {
    "a CMYK JPEG": (jpeg(1, size=SIZE, mode="CMYK"), "jpeg", "RGB"),
    "a lossy WebP": (encoded(drawn_image(1, size=SIZE), "WEBP", quality=90), "jpeg", "RGB"),
    "a lossless WebP": (encoded(drawn_image(1, size=SIZE), "WEBP", lossless=True), "png", "RGB"),
    "a GIF": (encoded(drawn_image(1, size=SIZE), "GIF"), "png", "P"),
    "a BMP": (encoded(drawn_image(1, size=SIZE), "BMP"), "png", "RGB"),
    "a TIFF": (encoded(drawn_image(1, size=SIZE), "TIFF"), "png", "RGB"),
    "a PNG with 16 bits": (sixteen_bit_png(), "png", "L"),
    "a PNG with an alpha channel": (png("RGBA"), "png", "RGB"),
    "a grey PNG with an alpha channel": (png("LA"), "png", "RGB"),
    "a PNG with a transparent colour in its palette": (png("P", transparency=0), "png", "P"),
    "a grey PNG with a transparent level": (png("L", transparency=0), "png", "L"),
    "a PNG with a transparent colour": (png("RGB", transparency=(0, 0, 0)), "png", "RGB"),
    "a TIFF in CMYK": (encoded(drawn_image(1, size=SIZE).convert("CMYK"), "TIFF"), "png", "RGB"),
    "a TIFF with 32 bits": (encoded(drawn_image(1, size=SIZE).convert("I"), "TIFF"), "png", "L"),
}


@pytest.mark.parametrize("name", TRANSCODED)
def test_what_it_does_not_decode_well_is_transcoded(name):
    data, image_format, mode = TRANSCODED[name]
    came = inspect(data, PIXELS)
    assert (came.ready, came.width, came.height) == (False, *SIZE)
    stored = transcode(came)
    assert (stored.format, stored.width, stored.height, stored.ready) == (image_format, *SIZE, True)
    assert inspect(stored.encoded, PIXELS) == stored
    image = Image.open(io.BytesIO(stored.encoded))
    assert (image.mode, image.size) == (mode, SIZE)
    assert transcode(came) == stored


def test_lossless_sources_keep_every_pixel():
    original = drawn_image(3, size=SIZE)
    for data in (encoded(original, "BMP"), encoded(original, "WEBP", lossless=True)):
        assert Image.open(io.BytesIO(transcode(inspect(data, PIXELS)).encoded)).tobytes() == original.tobytes()


def test_sixteen_bits_are_scaled_to_eight_not_clipped():
    stored = Image.open(io.BytesIO(transcode(inspect(sixteen_bit_png(), PIXELS)).encoded))
    assert list(stored.tobytes()) == [value * 50 >> 8 for value in range(1200)]


def test_transparency_becomes_white():
    image = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    stored = Image.open(io.BytesIO(transcode(inspect(encoded(image, "PNG"), PIXELS)).encoded))
    assert stored.getpixel((0, 0)) == (255, 255, 255)


def with_palette(color):
    image = Image.new("P", SIZE, color)
    image.putpalette(bytes(range(12)))
    return image


CLEAR = {
    "a palette": (lambda: with_palette(3), {"transparency": 3}),
    "a palette with an alpha of each colour": (lambda: with_palette(1), {"transparency": b"\xff\x00"}),
    "black and white": (lambda: Image.new("1", SIZE, 0), {"transparency": 0}),
    "grey": (lambda: Image.new("L", SIZE, 7), {"transparency": 7}),
    "colour": (lambda: Image.new("RGB", SIZE, (1, 2, 3)), {"transparency": (1, 2, 3)}),
    "grey and alpha": (lambda: Image.new("LA", SIZE, (7, 0)), {}),
}


@pytest.mark.parametrize("name", CLEAR)
def test_what_is_clear_becomes_white_in_every_mode(name):
    make, options = CLEAR[name]
    stored = Image.open(io.BytesIO(transcode(inspect(encoded(make(), "PNG", **options), PIXELS)).encoded))
    assert stored.convert("RGB").getcolors() == [(SIZE[0] * SIZE[1], (255, 255, 255))]


def test_half_transparent_colours_are_laid_on_white():
    image = Image.new("RGBA", (3000, 900), (200, 100, 0, 51))  # several strips
    stored = Image.open(io.BytesIO(transcode(inspect(encoded(image, "PNG"), 3_000_000)).encoded))
    assert stored.getcolors() == [(3000 * 900, (244, 224, 204))]


def test_the_colours_of_a_cmyk_jpeg_are_those_that_pillow_shows():
    came = jpeg(1, size=SIZE, mode="CMYK")
    shown = np.asarray(Image.open(io.BytesIO(came)).convert("RGB")).astype(int)
    stored = np.asarray(Image.open(io.BytesIO(transcode(inspect(came, PIXELS)).encoded))).astype(int)
    assert np.abs(shown - stored).mean() < 2


CHANNELS = {
    "a grey JPEG": (jpeg(1, mode="L"), 1),
    "a JPEG in colour": (JPEG, 3),
    "a grey PNG": (png("L"), 1),
    "a black and white PNG": (png("1"), 1),
    "a PNG with a palette": (png("P"), 3),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_a_palette_has_three_channels(name):
    data, expected = CHANNELS[name]
    assert channels(data) == expected


def test_exif_orientation_is_left_alone():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = jpeg(1, size=SIZE, exif=exif)
    assert inspect(turned, PIXELS) == EncodedImage(turned, "jpeg", *SIZE)
    cmyk = inspect(jpeg(1, size=SIZE, mode="CMYK", exif=exif), PIXELS)
    assert (transcode(cmyk).width, transcode(cmyk).height) == SIZE


PNG = png()
BAD = {
    "no bytes": (b"", Outcome.NOT_AN_IMAGE, "an empty file"),
    "a page of HTML": (b"\n <html>", Outcome.NOT_AN_IMAGE, "a text document"),
    "an error in JSON": (b'{"error": 1}', Outcome.NOT_AN_IMAGE, "a text document"),
    "a PDF": (b"%PDF-1.7 ...", Outcome.NOT_AN_IMAGE, "a PDF document; convert it to JPEG or PNG"),
    "a HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Outcome.NOT_AN_IMAGE, "a HEIC image; convert it to JPEG or PNG"),
    "a video": (b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", Outcome.NOT_AN_IMAGE, "a video; extract its frames as images"),
    "a JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), Outcome.NOT_AN_IMAGE, "a JPEG 2000 image; convert it to JPEG or PNG"),
    "base64": (b"/9j/4AAQSkZJRgABAQ", Outcome.NOT_AN_IMAGE, "an image as text (base64); decode it"),
    "zeros": (bytes(5000), Outcome.NOT_AN_IMAGE, "zero bytes, as of a file that was not copied completely; copy or download it again"),
    "something else": (b"hello", Outcome.NOT_AN_IMAGE, "not an image in a known format"),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\n",
        Outcome.NOT_AN_IMAGE,
        "a pointer of Git LFS and not the file itself; run git lfs pull where it comes from",
    ),
    "the start of a JPEG's header": (JPEG[:100], Outcome.TRUNCATED, "ends within its header, after 100 bytes"),
    "the start of a JPEG": (JPEG[:-2], Outcome.TRUNCATED, "without its end-of-image marker"),
    "a thumbnail's end is not the image's": (
        JPEG[:2] + segment(0xE1, jpeg(2, size=(8, 8))) + JPEG[2:-2],
        Outcome.TRUNCATED,
        "without its end-of-image marker",
    ),
    "a JPEG without a scan": (JPEG[:20] + b"\xff\xd9\x00\x00", Outcome.UNDECODABLE, "without image data"),
    "a JPEG without a frame": (b"\xff\xd8" + segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\xff\xd9", Outcome.UNDECODABLE, "frame header"),
    "a JPEG without width": (
        b"\xff\xd8" + segment(0xC0, b"\x08\x00\x10\x00\x00\x01\x01\x11\x00") + segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\xff\xd9",
        Outcome.UNDECODABLE,
        "0x16 pixels",
    ),
    "the start of a PNG": (PNG[:-20], Outcome.TRUNCATED, "without its end chunk"),
    "a PNG that ends before its end chunk": (PNG[:-12], Outcome.TRUNCATED, "without its end chunk"),
    "a PNG with a changed byte": (PNG[:60] + bytes((PNG[60] ^ 1,)) + PNG[61:], Outcome.UNDECODABLE, "checksum"),
    "a PNG without pixels": (PNG[:33] + chunk(b"IEND", b""), Outcome.UNDECODABLE, "without image data"),
    "a PNG that begins with something else": (PNG[:8] + chunk(b"IDAT", b"") + PNG[8:], Outcome.UNDECODABLE, "begin with its header"),
    "an image with more pixels than allowed": (
        jpeg(1, size=(1001, 1000)),
        Outcome.TOO_LARGE,
        "expected at most 1000000 pixels, got 1001x1000",
    ),
    "a bomb that claims to be small": (
        PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)) + PNG[33:],
        Outcome.TOO_LARGE,
        "got 100000x100000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_each_kind_of_bad_file_has_its_outcome(name):
    data, outcome, detail = BAD[name]
    with pytest.raises(Failed) as raised:
        inspect(data, PIXELS)
    assert raised.value.outcome is outcome
    assert detail in raised.value.detail


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_frame(JPEG, 0xC9), id="arithmetic coding"),
        pytest.param(with_frame(JPEG, 0xC3), id="lossless JPEG"),
        pytest.param(with_frame(JPEG, 0xC1, precision=12), id="12 bits per sample"),
    ],
)
def test_rare_jpegs_are_not_stored_as_they_came(data):
    assert not inspect(data, PIXELS).ready


def test_a_jpeg_that_no_decoder_takes_is_undecodable_and_not_retried():
    with pytest.raises(Failed) as raised:
        transcode(inspect(with_frame(JPEG, 0xC1, precision=12), PIXELS))
    assert (raised.value.outcome, raised.value.retryable) == (Outcome.UNDECODABLE, False)


@pytest.mark.parametrize("verify", ["Structure", "Decode"])
def test_the_pixels_of_a_png_are_always_read(verify):
    stored_form(inspect(PNG, PIXELS), verify)
    hollow = PNG[:33] + chunk(b"IDAT", b"no deflate stream") + chunk(b"IEND", b"")
    with pytest.raises(Failed, match="cannot be decompressed") as raised:
        stored_form(inspect(hollow, PIXELS), verify)
    assert raised.value.outcome is Outcome.UNDECODABLE


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str)
def test_a_damaged_jpeg_is_judged_as_if_it_were_shown(options):
    """`decode` skips the conversion of coefficients to pixels, `transcode` does all of it."""
    random = np.random.default_rng(1)
    whole = jpeg(1, size=(160, 120), **options)
    verdicts = set()
    for _ in range(100):
        start = random.integers(0, len(whole))
        lost = random.integers(1, 200)
        came = EncodedImage(whole[:start] + random.bytes(random.integers(0, 200)) + whole[start + lost :], "jpeg", 160, 120)
        judged = verdict(decode, came)
        assert judged == verdict(transcode, came)
        verdicts.add(judged)
    assert len(verdicts) > 1, "some are broken beyond decoding and some are not"


def verdict(function, came: EncodedImage) -> str | None:
    try:
        function(came)
    except Failed as failure:
        return f"{failure.outcome}: {failure.detail}"
    return None


CUT = {
    "a lossy WebP": encoded(drawn_image(1, size=SIZE), "WEBP"),
    "a lossless WebP": encoded(drawn_image(1, size=SIZE), "WEBP", lossless=True),
    "a WebP with metadata": encoded(drawn_image(1, size=SIZE), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "an AVIF": encoded(drawn_image(1, size=SIZE), "AVIF"),
    "an AVIF with transparency": encoded(drawn_image(1, size=SIZE).convert("RGBA"), "AVIF"),
    "a TIFF": encoded(drawn_image(1, size=SIZE), "TIFF"),
    "a compressed TIFF": encoded(drawn_image(1, size=SIZE), "TIFF", compression="tiff_lzw"),
    "a BMP": encoded(drawn_image(1, size=SIZE), "BMP"),
    "a GIF": encoded(drawn_image(1, size=SIZE), "GIF"),
    "a JPEG": JPEG,
    "a PNG": PNG,
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_is_truncated_wherever_it_was_cut(name):
    whole = CUT[name]
    signature, optional = 54 if name == "a BMP" else 12, 2 if name == "a GIF" else 0  # a GIF's last bytes end the file only
    for size in (signature, len(whole) // 4, len(whole) // 2, len(whole) - 100, len(whole) - 1 - optional):
        with pytest.raises(Failed) as raised:
            stored_form(inspect(whole[:size], PIXELS), "Decode")
        assert raised.value.outcome is Outcome.TRUNCATED, size


def test_a_tile_larger_than_its_image_is_refused_before_it_is_made():
    tags = ((256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (322, 32_000), (323, 32_000), (324, 8), (325, 9))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    bomb = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + directory + bytes(4)
    with pytest.raises(Failed, match="tiles of at most") as raised:
        inspect(bomb, PIXELS)
    assert raised.value.outcome is Outcome.TOO_LARGE


def test_a_format_whose_decoder_needs_more_memory_may_have_fewer_pixels():
    image = drawn_image(1, size=(1000, 501))
    for kind in ("WEBP", "AVIF"):
        assert inspect(encoded(image, kind), 1_002_000).width == 1000
        with pytest.raises(Failed, match="expected at most"):
            inspect(encoded(image, kind), 600_000)
    assert inspect(encoded(image, "PNG"), 501_000).width == 1000


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_end_in_an_outcome_and_nothing_else(seed):
    random = np.random.default_rng(seed)
    for whole in (
        JPEG,
        PNG,
        encoded(drawn_image(1, size=SIZE), "WEBP"),
        encoded(drawn_image(1, size=SIZE), "GIF"),
        encoded(drawn_image(1, size=SIZE), "TIFF"),
    ):
        damaged = bytearray(whole)
        for position in random.integers(0, len(damaged), 8):
            damaged[position] = random.integers(0, 256)
        assert ended(bytes(damaged[: random.integers(1, len(damaged) + 1)])) in EXPECTED


EXPECTED = (None, Outcome.NOT_AN_IMAGE, Outcome.TRUNCATED, Outcome.UNDECODABLE, Outcome.TOO_LARGE)


def ended(data: bytes) -> Outcome | None:
    try:
        came = inspect(data, PIXELS)
        transcode(came)
        decode(came)
    except Failed as failure:
        return failure.outcome
    return None
