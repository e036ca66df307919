"""Small photos and masks, drawn and encoded for the tests of their decoding."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 36


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a smooth RGB picture in which every corner has its own colour, so that turns and swapped channels show."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(np.stack([255 * x, 255 * y, 128 + 100 * x * y], axis=-1).astype(np.uint8))


def disc(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a mask without symmetry, True in the left upper part of the picture."""
    y, x = np.mgrid[:height, :width]
    return (x / width - 0.3) ** 2 + (y / height - 0.4) ** 2 < 0.04


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def encode_array(samples: np.ndarray, suffix: str = ".png") -> bytes:
    """Encode an array by OpenCV, which also writes 16-bit colours; channels are in the order BGR."""
    return cv2.imencode(suffix, samples)[1].tobytes()


def with_orientation(image: Image.Image, orientation: int, file_format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, file_format, exif=exif)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file whose header gives a size, without the pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, body, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def sixteen_bit(channels: int) -> bytes:
    wide = np.asarray(scene()).astype(np.uint16)[..., ::-1] * 257
    if channels == 1:
        return encode_array(wide[..., 1])
    if channels == 4:
        return encode_array(np.dstack([wide, np.full(SIZE, 65535, np.uint16)]))
    return encode_array(wide)


def davis_palette() -> bytes:
    indices = Image.fromarray(disc().astype(np.uint8), "P")
    indices.putpalette([0, 0, 0, 128, 0, 0])
    return encode(indices)


MASK = encode(Image.fromarray(disc()))
SIZE = (HEIGHT, WIDTH)
