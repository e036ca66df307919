"""Videos that tests of flow estimate: frames as files, a small DAVIS, and video files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_frames(folder: Path, frames: np.ndarray, extension: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(frames):
        (folder / f"{k:05d}{extension}").write_bytes(cv2.imencode(extension, frame[..., ::-1])[1].tobytes())


def davis(root: Path, **videos: np.ndarray) -> Path:
    for name, frames in videos.items():
        write_frames(root / "JPEGImages/480p" / name, frames)
        write_frames(root / "Annotations/480p" / name, np.zeros_like(frames))
    lists = root / "ImageSets/480p"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in videos))
    return root


def write_clip(path: Path, frames: np.ndarray) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (frames.shape[2], frames.shape[1]))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path
