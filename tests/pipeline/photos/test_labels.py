"""Label images of every kind become the numbers 0, 1, ..., K."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UnusablePhoto
from pipeline.photos.labels import decode_labels
from tests.pipeline.photos.pictures import disc, encode, encode_array, noise, scene, with_orientation

SIZE = (60, 80)


def numbers(first: int = 1, second: int = 2, third: int = 3) -> np.ndarray:
    """Return three objects of different sizes on background."""
    labels = np.zeros(SIZE, np.int64)
    labels[5:25, 5:25], labels[30:55, 10:40], labels[10:50, 50:75] = first, second, third
    return labels


EXPECTED = numbers().astype(np.uint8)


def palette(labels: np.ndarray) -> bytes:
    """Encode numbers as DAVIS-2017 and YouTube-VOS do; the void, 255, is a light grey."""
    image = Image.fromarray(labels.astype(np.uint8), "P")
    colors = np.zeros((256, 3), np.uint8)
    colors[1:6] = [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
    colors[255] = 224, 224, 192
    image.putpalette(colors.tobytes())
    return encode(image)


def grey(labels: np.ndarray) -> bytes:
    return encode(Image.fromarray(labels.astype(np.uint8)))


def colored(labels: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> Image.Image:
    picture = np.zeros((*SIZE, 3), np.uint8)
    for number, color in colors.items():
        picture[labels == number] = color
    return Image.fromarray(picture)


COLORS = {1: (200, 10, 0), 2: (10, 200, 0), 3: (255, 255, 255)}
IN_COLORS = colored(EXPECTED, COLORS)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(palette(numbers()), id="palette"),
        pytest.param(palette(numbers(2, 5, 9)), id="palette with gaps"),
        pytest.param(grey(numbers()), id="8 bits"),
        pytest.param(grey(numbers(100, 200, 254)), id="8 bits with gaps"),
        pytest.param(encode(Image.fromarray(numbers(7, 8, 90).astype(np.uint8)).convert("LA")), id="grey and alpha"),
        pytest.param(encode(Image.fromarray(numbers(7, 8, 90).astype(np.uint8)).convert("RGB")), id="grey in RGB"),
        pytest.param(encode_array(numbers(255, 1000, 65535).astype(np.uint16)), id="16 bits, 255 is an object"),
        pytest.param(encode(IN_COLORS), id="colours"),
        pytest.param(encode(IN_COLORS.convert("RGBA")), id="colours and alpha"),
        pytest.param(encode(IN_COLORS, "BMP"), id="colours in BMP"),
    ],
)
def test_every_kind_of_label_image_is_numbered_in_rising_order(content: bytes) -> None:
    labels = decode_labels(content, SIZE)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, EXPECTED)


@pytest.mark.parametrize("encoded", [palette, grey])
def test_void_is_background_and_no_object(encoded: object) -> None:
    labels = numbers()
    labels[40:50, 42:48] = 255
    labels[12:14, 50:75] = 255  # within object 3
    expected = EXPECTED.copy()
    expected[12:14, 50:75] = 0
    np.testing.assert_array_equal(decode_labels(encoded(labels), SIZE), expected)  # type: ignore[operator]


def test_void_may_be_larger_than_the_objects() -> None:
    labels = np.full(SIZE, 255)
    labels[:20], labels[30:45, 30:50] = 0, 4
    np.testing.assert_array_equal(decode_labels(grey(labels), SIZE), labels == 4)


def test_one_object_as_1_bit() -> None:
    np.testing.assert_array_equal(decode_labels(encode(Image.fromarray(EXPECTED == 2)), SIZE), EXPECTED == 2)


@pytest.mark.parametrize("factor", [0.5, 3])
def test_labels_are_resized_without_new_numbers(factor: float) -> None:
    size = int(SIZE[0] * factor), int(SIZE[1] * factor)
    labels = decode_labels(palette(numbers(1, 3, 5)), size)
    rows = ((np.arange(size[0]) + 0.5) / factor).astype(int)
    columns = ((np.arange(size[1]) + 0.5) / factor).astype(int)
    np.testing.assert_array_equal(labels, EXPECTED[np.ix_(rows, columns)])


def test_only_the_eight_largest_objects_are_kept() -> None:
    labels, expected = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for number in range(1, 11):
        side = {3: 2, 7: 3}.get(number, 10)  # objects 3 and 7 are the smallest
        row, column = 12 * ((number - 1) // 5), 14 * ((number - 1) % 5)
        labels[row : row + side, column : column + side] = number
        if number not in (3, 7):
            expected[row : row + side, column : column + side] = number - (number > 3) - (number > 7)
    np.testing.assert_array_equal(decode_labels(grey(labels), SIZE), expected)


def test_an_object_too_small_for_the_photo_leaves_no_gap() -> None:
    labels = numbers(1, 3, 4)
    labels[0, 79] = 2
    np.testing.assert_array_equal(np.unique(decode_labels(grey(labels), (15, 20))), [0, 1, 2, 3])
    assert decode_labels(grey(labels), SIZE)[0, 79] == 2


def test_labels_are_turned_as_the_photo_is() -> None:
    content = grey(numbers())
    np.testing.assert_array_equal(decode_labels(content, SIZE[::-1], orientation=6), np.rot90(EXPECTED, -1))
    np.testing.assert_array_equal(decode_labels(content, SIZE, orientation=6), EXPECTED)


def soft_mask() -> bytes:
    """Return a mask of 0 and 255 with grey borders, as DUTS has them."""
    large = Image.fromarray(np.where(disc(800, 600), 255, 0).astype(np.uint8))
    return encode(large.resize(SIZE[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        pytest.param(grey(np.arange(4800).reshape(SIZE) % 200), "200|199 different levels", id="200 levels"),
        pytest.param(encode(scene(80, 60).convert("L")), "differ from a neighbour|different levels", id="grey photo"),
        pytest.param(encode(noise().resize(SIZE[::-1])), "different levels", id="colour photo"),
        pytest.param(soft_mask(), "as in grey borders", id="grey borders"),
        pytest.param(encode(IN_COLORS, "JPEG"), "JPEG files change the numbers", id="lossy"),
    ],
)
def test_what_is_no_label_image_is_refused_with_the_repair(content: bytes, cause: str) -> None:
    with pytest.raises(UnusablePhoto, match=cause) as caught:
        decode_labels(content, SIZE)
    assert caught.value.reason == "mask_not_labels"
    assert "--objects mask or components" in caught.value.sentence


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        pytest.param(np.zeros(SIZE), "background", id="nothing"),
        pytest.param(np.where(EXPECTED, 255, 0), "background", id="0 and 255"),
        pytest.param(np.full(SIZE, 2), "object", id="no background"),
    ],
)
def test_labels_without_both_are_refused(labels: np.ndarray, found: str) -> None:
    with pytest.raises(UnusablePhoto, match=f"the label image is all {found} at 80x60; expected both") as caught:
        decode_labels(grey(labels), SIZE)
    assert caught.value.reason == "mask_blank"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "mask_empty_file"),
        (palette(numbers())[:80], "mask_truncated"),
        (encode(Image.new("F", SIZE[::-1]), "TIFF"), "mask_unsupported_pixels"),
        (encode(Image.fromarray(np.full(SIZE, 1 << 20, np.int32)), "TIFF"), "mask_unsupported_pixels"),
        (grey(numbers()[:, :40]), "mask_size"),
        (with_orientation(IN_COLORS, 1)[:200], "mask_truncated"),
    ],
)
def test_unreadable_label_images_are_told_apart(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePhoto) as caught:
        decode_labels(content, SIZE)
    assert caught.value.reason == reason


def test_the_palette_itself_does_not_matter() -> None:
    image = Image.open(io.BytesIO(palette(numbers())))
    image.putpalette(bytes(768))
    np.testing.assert_array_equal(decode_labels(encode(image), SIZE), EXPECTED)
