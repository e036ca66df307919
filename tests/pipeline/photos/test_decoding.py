import contextlib
import io
import pickle
import random
import struct
import threading
import warnings
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.photos.decoding import MIN_SIDE, decode_mask, decode_pair, decode_photo, exif_orientation

WIDTH, HEIGHT = 48, 36


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A smooth RGB picture in which every corner has its own colour, so that turns and swapped channels show."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(np.stack([255 * x, 255 * y, 128 + 100 * x * y], axis=-1).astype(np.uint8))


def disc(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """True in the left upper part of the picture: a mask without symmetry."""
    y, x = np.mgrid[:height, :width]
    return (x / width - 0.3) ** 2 + (y / height - 0.4) ** 2 < 0.04


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def encode_array(samples: np.ndarray, suffix: str = ".png") -> bytes:
    """Through OpenCV, which writes 16-bit colours; channels in its own order."""
    return cv2.imencode(suffix, samples)[1].tobytes()


def with_orientation(image: Image.Image, orientation: int, file_format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, file_format, exif=exif)


def png_header(width: int, height: int) -> bytes:
    """A file that claims a size and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, body, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


MASK = encode(Image.fromarray(disc()))
SIZE = (HEIGHT, WIDTH)


# Photos


def test_ordinary_jpeg_is_decoded_as_pillow_does() -> None:
    content = encode(scene(), "JPEG", quality=90)
    pixels = decode_photo(content)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(content))))


def _palette_with_transparency() -> bytes:
    indices = Image.fromarray(np.where(disc(), 1, 0).astype(np.uint8), "P")
    indices.putpalette([255, 0, 0, 0, 0, 255])
    return encode(indices, transparency=b"\x00\xff")  # red is transparent, blue is not


def _sixteen_bit(channels: int) -> bytes:
    wide = np.asarray(scene()).astype(np.uint16)[..., ::-1] * 257
    if channels == 1:
        return encode_array(wide[..., 1])
    if channels == 4:
        return encode_array(np.dstack([wide, np.full(SIZE, 65535, np.uint16)]))
    return encode_array(wide)


RGB = np.asarray(scene())
GREY = np.repeat(np.asarray(scene().convert("L"))[..., None], 3, axis=2)
GREEN = np.repeat(RGB[..., 1:2], 3, axis=2)
BLUE_ON_WHITE = np.where(disc()[..., None], [0, 0, 255], [255, 255, 255])


@pytest.mark.parametrize(
    ("content", "expected", "tolerance"),
    [
        pytest.param(encode(scene()), RGB, 0, id="png"),
        pytest.param(encode(scene(), "JPEG", quality=95, progressive=True), RGB, 12, id="progressive"),
        pytest.param(encode(scene(), "BMP"), RGB, 0, id="bmp"),
        pytest.param(encode(scene(), "TIFF"), RGB, 0, id="tiff"),
        pytest.param(encode(scene(), "PPM"), RGB, 0, id="ppm"),
        pytest.param(encode(scene(), "WEBP", lossless=True), RGB, 0, id="webp"),
        pytest.param(encode(scene(), "JPEG", quality=95) + b"\0" * 100, RGB, 12, id="trailing bytes"),
        pytest.param(encode(scene().convert("L"), "JPEG", quality=95), GREY, 6, id="grey jpeg"),
        pytest.param(encode(scene().convert("L")), GREY, 0, id="grey png"),
        pytest.param(encode(scene().convert("CMYK"), "JPEG", quality=95), RGB, 12, id="cmyk jpeg"),
        pytest.param(encode(scene().convert("CMYK"), "TIFF"), RGB, 2, id="cmyk tiff"),
        pytest.param(encode(scene().quantize(256)), RGB, 40, id="palette"),
        pytest.param(encode(scene(), "GIF"), RGB, 60, id="gif"),
        pytest.param(_palette_with_transparency(), BLUE_ON_WHITE, 0, id="palette with transparency"),
        pytest.param(_sixteen_bit(3), RGB, 0, id="16 bits rgb"),
        pytest.param(_sixteen_bit(4), RGB, 0, id="16 bits rgba"),
        pytest.param(_sixteen_bit(1), GREEN, 0, id="16 bits grey"),
        pytest.param(encode(Image.fromarray(disc())), np.where(disc()[..., None], 255, 0), 0, id="1 bit"),
    ],
)
def test_every_kind_of_photo_becomes_rgb(content: bytes, expected: np.ndarray, tolerance: int) -> None:
    pixels = decode_photo(content)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_laid_over_white(mode: str) -> None:
    image = scene().convert(mode)
    image.putalpha(Image.fromarray(np.where(disc(), 255, 0).astype(np.uint8)))
    pixels = decode_photo(encode(image))
    assert (pixels[~disc()] == 255).all()
    np.testing.assert_array_equal(pixels[disc()], np.asarray(scene().convert(mode[:-1]).convert("RGB"))[disc()])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [None, 24])
def test_exif_orientation_is_applied(orientation: int, max_side: int | None) -> None:
    content = with_orientation(scene(), orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if max_side is not None:
        upright = upright.resize((upright.width // 2, upright.height // 2), Image.Resampling.BOX)
    pixels = decode_photo(content, max_side)
    assert pixels.flags.c_contiguous
    assert pixels.shape[1::-1] == upright.size
    assert np.abs(pixels.astype(int) - np.asarray(upright)).max() <= (0 if max_side is None else 6)
    assert exif_orientation(content) == orientation


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_leaves_the_photo_usable(exif: bytes) -> None:
    content = encode(scene(), "JPEG", exif=exif)
    assert decode_photo(content).shape == (HEIGHT, WIDTH, 3)
    assert exif_orientation(content) == 1


def test_unknown_orientation_counts_as_upright() -> None:
    assert decode_photo(with_orientation(scene(), 9)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WEBP"])
def test_truncated_photo_is_refused(keep: float, file_format: str) -> None:
    content = encode(noise(), file_format)
    with pytest.raises(UnusablePhoto) as caught:
        decode_photo(content[: int(len(content) * keep)])
    assert caught.value.reason in ("truncated", "damaged", "not_an_image")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_truncation_is_called_by_its_name(file_format: str) -> None:
    content = encode(noise(), file_format)
    with pytest.raises(UnusablePhoto, match="the file ends before the image does") as caught:
        decode_photo(content[: len(content) // 2])
    assert caught.value.reason == "truncated"


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def test_empty_file_is_refused() -> None:
    with pytest.raises(UnusablePhoto, match="the file is empty") as caught:
        decode_photo(b"")
    assert caught.value.reason == "empty_file"


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\0" * 1000, b"x", b"\xff\xd8\xff", b"%PDF-1.7\n"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UnusablePhoto, match=r"not an image: it begins with .*; expected one of JPEG, PNG") as caught:
        decode_photo(content)
    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (MIN_SIDE - 1, 400), (400, MIN_SIDE - 1)])
def test_too_small_a_photo_is_refused(width: int, height: int) -> None:
    with pytest.raises(
        UnusablePhoto, match=f"the image is {width}x{height}; expected at least {MIN_SIDE} px"
    ) as caught:
        decode_photo(encode(scene(width, height)))
    assert caught.value.reason == "too_small"


def test_photo_that_shrinking_makes_too_small_is_refused() -> None:
    with pytest.raises(UnusablePhoto, match=r"the image is 1000x30 \(100x3 at --max-side 100\)"):
        decode_photo(encode(scene(1000, 30)), 100)


def test_smallest_photo_is_used() -> None:
    assert decode_photo(encode(scene(MIN_SIDE, MIN_SIDE))).shape == (MIN_SIDE, MIN_SIDE, 3)


@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (60_000, 60_000)])
def test_decompression_bomb_is_refused(width: int, height: int) -> None:
    with pytest.raises(UnusablePhoto, match="expected at most 160000000 pixels") as caught:
        decode_photo(png_header(width, height))
    assert caught.value.reason == "too_large"


def test_floating_point_photo_is_refused() -> None:
    image = Image.fromarray(np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(SIZE))
    with pytest.raises(UnusablePhoto, match="floating-point numbers; expected 8 or 16 bits") as caught:
        decode_photo(encode(image, "TIFF"))
    assert caught.value.reason == "unsupported_pixels"


def test_photo_of_8000x6000_is_used() -> None:
    small = scene(80, 60)
    content = encode(small.resize((8000, 6000), Image.Resampling.BILINEAR), "JPEG", quality=90)
    pixels = decode_photo(content, 384)
    assert pixels.shape == (288, 384, 3)
    expected = np.asarray(small.resize((384, 288), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels - expected).mean() < 2


def test_photo_beyond_pillows_warning_is_used_without_one() -> None:
    content = encode(Image.new("L", (11_000, 9_000), 100), "JPEG")  # 99 million pixels; Pillow warns from 89 on
    assert (decode_photo(content, 64) == 100).all()


@pytest.mark.parametrize(
    ("max_side", "expected"), [(None, (36, 48)), (100, (36, 48)), (48, (36, 48)), (47, (35, 47)), (24, (18, 24))]
)
def test_photos_are_only_shrunk(max_side: int | None, expected: tuple[int, int]) -> None:
    assert decode_photo(encode(scene(), "JPEG"), max_side).shape[:2] == expected


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_shrinking_averages_areas(file_format: str) -> None:
    photo = scene(400, 300)
    expected = np.asarray(photo).reshape(75, 4, 100, 4, 3).mean(axis=(1, 3))
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
    pixels = decode_photo(encode(photo, file_format, **options), 100)
    assert np.abs(pixels - expected).max() < 3


def test_shrinking_leaves_no_pixel_out() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    expected = noise.reshape(75, 4, 100, 4, 3).mean(axis=(1, 3))
    pixels = decode_photo(encode(Image.fromarray(noise)), 100)
    assert np.abs(pixels - expected).max() <= 1


def test_max_side_below_the_smallest_photo_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_side is 8 px; expected at least 16"):
        decode_photo(encode(scene()), 8)


# Masks


def _davis_palette() -> bytes:
    indices = Image.fromarray(disc().astype(np.uint8), "P")
    indices.putpalette([0, 0, 0, 128, 0, 0])
    return encode(indices)


def _grey(inside: int, outside: int = 0) -> Image.Image:
    return Image.fromarray(np.where(disc(), inside, outside).astype(np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(MASK, id="1 bit"),
        pytest.param(encode(_grey(255)), id="0/255"),
        pytest.param(encode(_grey(128, 127)), id="128 is object, 127 is not"),
        pytest.param(encode(_grey(255).convert("LA")), id="grey and alpha"),
        pytest.param(encode(_grey(255).convert("RGB")), id="three channels"),
        pytest.param(encode(_grey(255).convert("RGBA")), id="four channels"),
        pytest.param(encode(_grey(1)), id="0/1"),
        pytest.param(encode(_grey(3)), id="object number"),
        pytest.param(encode(_grey(15)), id="the largest object number"),
        pytest.param(encode_array(np.where(disc(), 65535, 0).astype(np.uint16)), id="16 bits"),
        pytest.param(encode_array(disc().astype(np.uint16)), id="16 bits 0/1"),
        pytest.param(encode_array(disc().astype(np.uint16) * 15), id="16 bits, the largest object number"),
        pytest.param(_davis_palette(), id="palette of DAVIS"),
        pytest.param(encode(Image.open(io.BytesIO(_davis_palette())).convert("RGB")), id="colours of DAVIS"),
        pytest.param(encode(Image.fromarray(disc()[..., None] * np.array([64, 0, 0], np.uint8))), id="a dark colour"),
        pytest.param(encode(_grey(255).convert("P")), id="grey palette"),
    ],
)
def test_every_kind_of_mask_becomes_0_and_255(content: bytes) -> None:
    mask = decode_mask(content, SIZE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.where(disc(), 255, 0))


def test_jpeg_mask_is_thresholded() -> None:
    big = disc(480, 360)
    mask = decode_mask(encode(Image.fromarray(np.where(big, 255, 0).astype(np.uint8)), "JPEG"), (360, 480))
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) != big).mean() < 0.001


def test_noise_of_a_black_jpeg_mask_is_no_object() -> None:
    faint = Image.fromarray(np.random.default_rng(0).integers(0, 8, SIZE).astype(np.uint8))
    with pytest.raises(UnusablePhoto, match="the mask is all background"):
        decode_mask(encode(faint, "JPEG", quality=95), SIZE)


@pytest.mark.parametrize("factor", [2, 5])
def test_larger_mask_of_the_same_proportions_is_shrunk(factor: int) -> None:
    mask = decode_mask(encode(Image.fromarray(disc(WIDTH * factor, HEIGHT * factor))), SIZE)
    assert ((mask > 0) != disc()).mean() < 0.03


def test_smaller_mask_of_the_same_proportions_is_enlarged() -> None:
    mask = decode_mask(MASK, (HEIGHT * 4, WIDTH * 4))
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) != disc(WIDTH * 4, HEIGHT * 4)).mean() < 0.03


def test_levels_above_the_object_numbers_are_grey() -> None:
    for content in (encode(_grey(16)), encode_array(disc().astype(np.uint16) * 16)):
        with pytest.raises(UnusablePhoto, match="the mask is all background"):
            decode_mask(content, SIZE)


@pytest.mark.parametrize(("width", "height"), [(800, 605), (400, 302), (400, 298)])
def test_mask_off_by_less_than_a_hundredth_is_used(width: int, height: int) -> None:
    assert decode_mask(encode(Image.fromarray(disc(width, height))), (300, 400)).shape == (300, 400)


@pytest.mark.parametrize(("width", "height"), [(800, 618), (800, 582), (400, 310), (400, 290)])
def test_mask_off_by_three_hundredths_is_refused(width: int, height: int) -> None:
    with pytest.raises(UnusablePhoto, match="other proportions"):
        decode_mask(encode(Image.fromarray(disc(width, height))), (300, 400))


def test_mask_one_pixel_off_is_used() -> None:
    assert decode_mask(encode(Image.fromarray(disc(WIDTH + 1, HEIGHT))), SIZE).shape == SIZE


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH, WIDTH), (100, 40)])
def test_mask_of_other_proportions_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UnusablePhoto, match=f"the mask is 48x36, the photo .* {size[1]}x{size[0]}: other") as caught:
        decode_mask(MASK, size)
    assert caught.value.reason == "mask_size"


@pytest.mark.parametrize(("level", "found"), [(0, "background"), (100, "background"), (255, "object"), (1, "object")])
def test_mask_without_both_is_refused(level: int, found: str) -> None:
    content = encode(Image.new("L", (WIDTH, HEIGHT), level))
    with pytest.raises(UnusablePhoto, match=f"the mask is all {found}") as caught:
        decode_mask(content, SIZE)
    assert caught.value.reason == "mask_blank"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "mask_empty_file"),
        (b"text", "mask_not_an_image"),
        (encode(noise())[:1500], "mask_truncated"),
        (encode(scene(2, 2)), "mask_too_small"),
        (encode(Image.new("F", (WIDTH, HEIGHT)), "TIFF"), "mask_unsupported_pixels"),
        (png_header(60_000, 60_000), "mask_too_large"),
    ],
)
def test_unreadable_mask_is_told_from_an_unreadable_photo(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePhoto, match=r"^mask: ") as caught:
        decode_mask(content, SIZE)
    assert caught.value.reason == reason


# Pairs


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_of_the_upright_photo_is_left_upright(orientation: int) -> None:
    content = with_orientation(scene(), orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    drawn = disc(*upright.size)
    image, mask = decode_pair(content, encode(Image.fromarray(drawn)))
    assert image.shape[:2] == mask.shape
    np.testing.assert_array_equal(mask > 0, drawn)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_mask_of_the_stored_pixels_is_turned_with_the_photo(orientation: int) -> None:
    content = with_orientation(scene(), orientation)
    image, mask = decode_pair(content, MASK)
    assert image.shape[:2] == mask.shape == (WIDTH, HEIGHT)
    stored = Image.fromarray(np.where(disc(), 255, 0).astype(np.uint8))
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(with_orientation(stored, orientation, "PNG"))))
    np.testing.assert_array_equal(mask, np.asarray(turned))


def test_photo_and_mask_shrink_alike() -> None:
    photo = Image.fromarray(np.where(disc(400, 301), 255, 0).astype(np.uint8))
    image, mask = decode_pair(encode(photo.convert("RGB"), "JPEG", quality=95), encode(photo), 130)
    assert image.shape[:2] == mask.shape == (98, 130)
    assert ((image[..., 0] >= 128) != (mask > 0)).mean() < 0.005


def test_photo_without_mask_is_all_background() -> None:
    image, mask = decode_pair(encode(scene()), None, 24)
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.uint8
    assert not mask.any()


# Whatever else


SEEDS = [
    encode(noise(), "JPEG"),
    encode(scene(), "JPEG", progressive=True),
    with_orientation(scene(), 6),
    encode(scene().convert("CMYK"), "JPEG"),
    encode(scene()),
    encode(scene().quantize(16), transparency=3),
    encode(scene().convert("RGBA")),
    _sixteen_bit(1),
    _sixteen_bit(4),
    encode(scene(), "BMP"),
    encode(scene(), "GIF"),
    encode(scene(), "TIFF", compression="tiff_lzw"),
    encode(scene(), "TIFF", compression="jpeg"),
    encode(scene(), "TIFF"),
    encode(scene(), "WEBP"),
    encode(scene(), "PPM"),
    MASK,
    _davis_palette(),
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
