"""Views of pairs and clips: a contact sheet, and an animation that flickers between the frames."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import numpy as np
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.pictures import write_png
from pipeline.files.whole_files import write_whole
from pipeline.showing.frame_pictures import ShownClip, encode_animation, read_clips
from pipeline.showing.preview import contact_sheet
from pipeline.showing.sheets import TILE, Line, draw_sheet, scaled_to
from pipeline.showing.status import frames_in_words

ANIMATION_TILE = 320
ABREAST = 4
ANIMATIONS = {".webp": "WEBP", ".gif": "GIF"}


def write_preview(store: DatasetStore, path: Path, rows: int, flows: str | None = None) -> None:
    """Write a contact sheet (PNG) or, of pairs and clips, an animation (WebP or GIF) of up to `rows` photos.

    Args:
        store: dataset of photos, pairs or clips.
        path: file to write.
        rows: number of photos to draw, evenly spread.
        flows: estimated flow of the pairs to draw beside the exact one; None = none.

    Raises:
        PipelineError: no sample is usable yet, the ending does not fit, photos are needed for pairs and are not there,
            the estimated flow is that of another dataset, or the file cannot be written.
    """
    has_frames, kind = store.layout.frames > 1, ANIMATIONS.get(path.suffix.lower())
    if kind is None and has_frames and path.suffix.lower() != ".png":
        message = "a preview of pairs or clips is a PNG, or an animation in WebP or GIF"
        raise PipelineError(f"{path}: {message}. Choose an --output that ends in .png, .webp or .gif.")
    if kind is not None and not has_frames:
        message = f"only pairs and clips can be animated, and {store.name} has single photos"
        raise PipelineError(f"{path}: {message}. Choose an --output that ends in .png.")
    if flows is not None and (kind is not None or not has_frames):
        message = "estimated flow is drawn on the contact sheet of pairs or clips, as a PNG"
        raise PipelineError(f"{path}: {message}. Leave out --flows, or give pairs and an --output that ends in .png.")
    if kind is None:
        if flows is not None:
            store.refuse_missing_photos()
        shows_frames = has_frames and store.shows_photos
        write_png(path, np.asarray(pair_sheet(store, rows, flows) if shows_frames else contact_sheet(store, rows)))
        return
    store.refuse_missing_photos()
    if not path.absolute().parent.is_dir():
        raise PipelineError(f"{path}: there is no folder {path.parent}. Make it, or choose another --output.")
    try:
        write_whole(path, encode_animation(animation_frames(store, rows), kind))
    except OSError as error:
        raise PipelineError(f"{path}: the animation cannot be written ({error.strerror or error}).") from error


def pair_sheet(store: DatasetStore, rows: int, flows: str | None = None) -> Image.Image:
    """Draw photo, next frame, flow and occlusion of the first step of every clip of up to `rows` photos.

    Raises:
        PipelineError: no sample is usable yet, or the estimated flow is that of another dataset.
    """
    estimated = None if flows is None else PairFlowStore.open(flows)
    columns = ["photo", "next frame, cut to window", "flow (colour = direction)"]
    if estimated is not None:
        estimated.refuse_other_photos(store)
        columns.append(f"flow by {estimated.attributes['weights']}")
    columns.append("red hidden, blue leaving, green new")
    lines = [_line(clip, name) for clip, name in _chosen(store, rows, estimated)]
    return draw_sheet(f"{len(lines)} {frames_in_words(store.layout)}", columns, lines)


def animation_frames(store: DatasetStore, rows: int) -> list[Image.Image]:
    """Draw one sheet for each frame number, with that frame of every clip beside each other, cut to `window`.

    Raises:
        PipelineError: no sample is usable yet.
    """
    clips, total = _chosen(store, rows), store.layout.frames
    sheets = []
    for number in range(total):
        lines = [([scaled_to(clip.images[number][clip.window], ANIMATION_TILE)], name) for clip, name in clips]
        title = f"{len(clips)} {frames_in_words(store.layout)}: frame {number + 1} of {total}"
        abreast = min(ABREAST, len(lines))
        sheets.append(draw_sheet(title, [""], lines, tile_px=ANIMATION_TILE, lines_abreast=abreast))
    return sheets


def _chosen(store: DatasetStore, rows: int, flows: PairFlowStore | None = None) -> list[tuple[ShownClip, str]]:
    """Read the clips of evenly spread photos, with a name for each."""
    chosen = spread(store.usable_rows(), rows)
    if not chosen:
        raise PipelineError(f"{store.url}: no usable sample yet. See `pipeline status {quote(store.url)} --failures`.")
    several = store.layout.motions > 1
    return [
        (clip, f"{clip.id}, motion {motion + 1}" if several else clip.id)
        for row in chosen
        for motion, clip in enumerate(read_clips(store, row, flows))
    ]


def _line(clip: ShownClip, name: str) -> Line:
    height, width = clip.occlusion.shape
    lengths = np.hypot(clip.flow_px[..., 0], clip.flow_px[..., 1])
    longest = float(np.max(lengths, initial=0, where=np.isfinite(lengths)))
    cut = clip.images[1][clip.window]
    pictures = [clip.images[0], cut, np.asarray(flow_to_rgb(clip.flow_px))]
    caption = f"{name}   {width} x {height}, window {cut.shape[1]} x {cut.shape[0]}   flow up to {longest:.0f} px"
    if clip.estimate_px is not None:
        pictures.append(np.asarray(flow_to_rgb(clip.estimate_px, longest or None)))
        error = np.linalg.norm(clip.estimate_px - clip.flow_px, axis=-1)
        compared = error[np.isfinite(error) & (clip.occlusion == 0)]
        if len(compared):
            caption += f"   estimate off by {np.median(compared):.2f} px in the median"
    pictures.append(clip.occlusion_picture())
    return [scaled_to(pixels, TILE) for pixels in pictures], caption
