import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.errors import UnusablePhoto
from pipeline.photos.decoding import decode_photo, exif_orientation
from pipeline.photos.image_files import MIN_SIDE
from tests.pipeline.photos.pictures import (
    HEIGHT,
    SIZE,
    WIDTH,
    disc,
    encode,
    noise,
    png_header,
    scene,
    sixteen_bit,
    with_orientation,
)


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
        pytest.param(sixteen_bit(3), RGB, 0, id="16 bits rgb"),
        pytest.param(sixteen_bit(4), RGB, 0, id="16 bits rgba"),
        pytest.param(sixteen_bit(1), GREEN, 0, id="16 bits grey"),
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
