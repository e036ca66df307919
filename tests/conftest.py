"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

MakeDuts = Callable[..., Path]


def pytest_configure() -> None:
    """Let tests press Ctrl-C, which a shell lets the programs ignore that it runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs ../shared where it is absent."""
    if not SHARED.exists():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason="needs ../shared with real photos and videos, which is absent"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where torch sees none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def draw_scene(seed: int, height: int = 72, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Paint a textured ground with one bright disc; return photo (h,w,3) uint8 RGB and mask (h,w) uint8 0/255."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(40, 160, height)[:, None, None] + rng.normal(0, 12, (height, width, 3))
    photo = np.clip(ground, 0, 255).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    centre = int(rng.integers(width // 3, 2 * width // 3)), int(rng.integers(height // 3, 2 * height // 3))
    cv2.circle(mask, centre, height // 5, 255, -1)
    photo[mask > 0] = rng.integers(150, 255, 3)
    return photo, mask


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write RGB or grey pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())


def draw_duts(root: Path, photos: int) -> Path:
    """Make an official DUTS-TR tree of drawn scenes and return its root."""
    for index in range(photos):
        shape = (72, 96) if index % 3 else (96, 64)
        photo, mask = draw_scene(index, *shape)
        write_png(root / "DUTS-TR/DUTS-TR-Image" / f"scene_{index:03d}.png", photo)
        write_png(root / "DUTS-TR/DUTS-TR-Mask" / f"scene_{index:03d}.png", mask)
    return root


@pytest.fixture
def in_time() -> Iterator[None]:
    """Fail after two minutes instead of waiting for ever."""

    def fail(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def make_duts(tmp_path: Path) -> MakeDuts:
    """Return a function that makes a DUTS-TR tree below the test's folder."""
    return lambda photos=5: draw_duts(tmp_path / "DUTS", photos)


@pytest.fixture(scope="session")
def ray_ended() -> Iterator[None]:
    """End the process's Ray after its last test."""
    import ray

    yield
    ray.shutdown()


@pytest.fixture
def local_ray(ray_ended: None) -> None:
    """Start one small local Ray for all tests of the process, and again after tests that had a cluster of their own."""
    import logging

    import ray

    if ray.is_initialized():
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
