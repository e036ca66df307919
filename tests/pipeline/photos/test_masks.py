import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.errors import UnusablePhoto
from pipeline.photos.decoding import decode_pair
from pipeline.photos.masks import decode_mask
from tests.pipeline.photos.pictures import (
    HEIGHT,
    MASK,
    SIZE,
    WIDTH,
    davis_palette,
    disc,
    encode,
    encode_array,
    noise,
    png_header,
    scene,
    with_orientation,
)


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
        pytest.param(davis_palette(), id="palette of DAVIS"),
        pytest.param(encode(Image.open(io.BytesIO(davis_palette())).convert("RGB")), id="colours of DAVIS"),
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
