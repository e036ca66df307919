import contextlib
import pickle
import random
import threading
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.photos.decoding import decode_photo, exif_orientation
from pipeline.photos.masks import decode_mask
from tests.pipeline.photos.pictures import (
    MASK,
    SIZE,
    davis_palette,
    encode,
    noise,
    scene,
    sixteen_bit,
    with_orientation,
)

SEEDS = [
    encode(noise(), "JPEG"),
    encode(scene(), "JPEG", progressive=True),
    with_orientation(scene(), 6),
    encode(scene().convert("CMYK"), "JPEG"),
    encode(scene()),
    encode(scene().quantize(16), transparency=3),
    encode(scene().convert("RGBA")),
    sixteen_bit(1),
    sixteen_bit(4),
    encode(scene(), "BMP"),
    encode(scene(), "GIF"),
    encode(scene(), "TIFF", compression="tiff_lzw"),
    encode(scene(), "TIFF", compression="jpeg"),
    encode(scene(), "TIFF"),
    encode(scene(), "WEBP"),
    encode(scene(), "PPM"),
    MASK,
    davis_palette(),
]


def _damage(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 20])):
        if not damaged:
            break
        near_header = rng.random() < 0.6
        at = rng.randrange(min(len(damaged), 64) if near_header else len(damaged))
        kind = rng.random()
        if kind < 0.6:
            damaged[at] = rng.randrange(256)
        elif kind < 0.75:
            damaged[at : at + rng.randrange(1, 9)] = b""
        elif kind < 0.9:
            damaged[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del damaged[max(at, 8) :]
    return bytes(damaged)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.integers(0, 2**32))
def test_no_damage_raises_anything_but_unusable_photo(content: bytes, seed: int) -> None:
    damaged = _damage(content, random.Random(seed))
    for decode in (decode_photo, lambda c: decode_photo(c, 20), lambda c: decode_mask(c, SIZE), exif_orientation):
        with contextlib.suppress(UnusablePhoto):
            decode(damaged)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_unusable_photo(content: bytes) -> None:
    for start in (
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"RIFF\0\0\0\0WEBP",
        b"P6 ",
    ):
        with pytest.raises(UnusablePhoto):
            decode_photo(start + content)


def test_decoders_write_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    for _ in range(10):
        for content in (seed for seed in SEEDS if not seed.startswith(b"II")):  # libtiff has its own opinion
            with contextlib.suppress(UnusablePhoto):
                decode_photo(_damage(content, rng))
    assert capfd.readouterr() == ("", "")


def test_broken_text_chunks_are_no_obstacle() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 10_000_000, zip=True)  # more than Pillow is willing to inflate
    with pytest.raises(UnusablePhoto) as caught:
        decode_photo(encode(scene(), pnginfo=info))
    assert caught.value.reason in ("damaged", "not_an_image")


def test_reason_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnusablePhoto("truncated", "the file ends early")))
    assert isinstance(error, PipelineError)
    assert (error.reason, error.sentence, str(error)) == ("truncated", "the file ends early", "the file ends early")


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    content = encode(Image.new("L", (200, 100), 100), "JPEG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode_photo(content) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
