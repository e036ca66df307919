"""Hundreds of damaged photos and masks, and the result of `pipeline run` on them.

Each file of a tree is changed in one of several ways that is drawn from a seed: bytes are flipped, the end is cut off,
a stretch is removed or repeated, bytes of the header are set to extremes, or another size is written into the header
(with a correct checksum if the format has one).
"""

from __future__ import annotations

import io
import random
import re
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.pieces import cut_pieces
from benchmarks.record import ROOT
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore

SIDE = 48
ENCODINGS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "jpg",
        "JPEG",
        "RGB",
        {"quality": 85, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
    ),
    ("jpeg", "JPEG", "RGB", {"progressive": True}),
    ("jpg", "JPEG", "CMYK", {}),
    ("png", "PNG", "RGB", {}),
    ("png", "PNG", "RGBA", {}),
    ("png", "PNG", "P", {}),
    ("bmp", "BMP", "RGB", {}),
    ("gif", "GIF", "P", {}),
    ("ppm", "PPM", "RGB", {}),
    ("pgm", "PPM", "L", {}),
    ("tif", "TIFF", "RGB", {}),
    ("tiff", "TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("tif", "TIFF", "RGB", {"compression": "jpeg"}),
    ("webp", "WEBP", "RGB", {"quality": 80}),
    ("webp", "WEBP", "RGB", {"lossless": True}),
)
MASK_ENCODINGS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("png", "PNG", "L", {}),
    ("png", "PNG", "1", {}),
    ("jpg", "JPEG", "L", {}),
    ("tif", "TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    ("bmp", "BMP", "L", {}),
)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)
SIZES = (0, 1, 47, 13_000, 65_535, 2**31 - 1)
SIZE_FIELDS = ("<H", ">H", "<I", ">I", "<Q")


def encode(pixels: np.ndarray, encoding: tuple[str, str, str, dict[str, Any]]) -> bytes:
    """Encode a picture as the content of a file."""
    _, name, mode, options = encoding
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, name, **options)
    return stream.getvalue()


def flip_bytes(content: bytearray, draw: random.Random) -> bytearray:
    """Change up to eight bytes at random places."""
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] ^= draw.randint(1, 255)
    return content


def cut_off(content: bytearray, draw: random.Random) -> bytearray:
    """Cut off the end of the file, possibly all of it."""
    return content[: draw.randrange(len(content))]


def remove_or_repeat(content: bytearray, draw: random.Random) -> bytearray:
    """Remove or repeat a stretch of bytes."""
    first, last = sorted(draw.randrange(len(content)) for _ in range(2))
    return content[:first] + content[last:] if draw.random() < 0.5 else content[:last] + content[first:]


def edit_header(content: bytearray, draw: random.Random) -> bytearray:
    """Set up to four of the first 128 bytes to extreme values."""
    for _ in range(draw.randint(1, 4)):
        content[draw.randrange(min(128, len(content)))] = draw.choice(EXTREMES)
    return _with_png_checksums(content) if draw.random() < 0.5 else content


def edit_size(content: bytearray, draw: random.Random) -> bytearray:
    """Replace the width or height in the header by another one."""
    if content[:1] == b"P":
        return bytearray(
            re.sub(rb"%d" % SIDE, str(draw.choice(SIZES)).encode(), bytes(content), count=draw.randint(1, 2))
        )
    places = [
        (place.start(), field)
        for field in SIZE_FIELDS
        for place in re.finditer(re.escape(struct.pack(field, SIDE)), content[:512])
    ]
    for place, field in draw.sample(places, min(len(places), draw.randint(1, 2))):
        size = struct.calcsize(field)
        content[place : place + size] = struct.pack(field, draw.choice(SIZES) % 256**size)
    return _with_png_checksums(content)


MUTATIONS = (flip_bytes, cut_off, remove_or_repeat, edit_header, edit_size)


def _with_png_checksums(content: bytearray) -> bytearray:
    """Correct the checksum of a PNG's first chunk, so that readers accept its header."""
    if content[:4] == b"\x89PNG":
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return content


def write_mutated_tree(root: Path, photos: int, *, whole: bool, seed: int = 0) -> Path:
    """Write photos with masks and damage one file of each pair, the mask of every fourth pair; with `whole`, none.

    The first ten pairs are never damaged.
    """
    draw = random.Random(seed)
    for part in ("Image", "Mask"):
        (root / f"DUTS-TR/DUTS-TR-{part}").mkdir(parents=True)
    for number, pair in enumerate(cut_pieces(photos, SIDE, seed)):
        encodings = draw.choice(ENCODINGS), draw.choice(MASK_ENCODINGS)
        contents = [bytearray(encode(*each)) for each in zip(pair, encodings, strict=True)]
        which = int(draw.random() < 0.25)
        mutated = draw.choice(MUTATIONS)(bytearray(contents[which]), draw)
        if not whole and number >= 10:
            contents[which] = mutated
        for part, encoding, content in zip(("Image", "Mask"), encodings, contents, strict=True):
            (root / f"DUTS-TR/DUTS-TR-{part}" / f"piece_{number:04d}.{encoding[0]}").write_bytes(content)
    return root


def run_over(photos: Path, output: Path, timeout_s: float) -> dict[str, Any]:
    """Make a dataset in a new process, and return the outcome for the photos.

    Raises:
        subprocess.TimeoutExpired: the process hangs.
    """
    command = [sys.executable, "-m", "benchmarks.peak_memory", "pipeline.cli", "run", "--input", str(photos)]
    command += ["--output", str(output), "--depth-model", "tiny-dpt", "--max-side", "64", "--workers", "0"]
    command += ["--samples-per-shard", "16"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s)
    seconds = time.monotonic() - started
    if done.returncode not in (0, 3) or "Traceback" in done.stderr:
        raise SystemExit(f"pipeline run ended with {done.returncode}:\n{done.stderr}")
    store = DatasetStore.open(str(output))
    status = store.read("status", slice(None))
    ids = [str(name) for name in store.read("id", slice(None))]
    listed = {failure.id: failure for failure in store.failures()}
    usable = {name for name, state in zip(ids, status, strict=True) if state == schema.USABLE}
    (peak,) = re.findall(r"^peak memory (\d+) kB", done.stderr, re.MULTILINE)
    return {
        "photos": len(ids),
        "decoded": len(usable),
        "listed": len(listed),
        "neither": len(set(ids) - usable - listed.keys()),
        "both": len(usable & listed.keys()),
        "whole_ones_listed": sum(name in listed for name in ids[:10]),
        "reasons": dict(sorted(Counter(failure.reason for failure in listed.values()).items())),
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(int(peak) / 1024),
    }
