"""The section of a report that shows pairs and clips, and measures them."""

from __future__ import annotations

import html
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.showing.frame_pictures import (
    HIDDEN,
    LEAVING,
    OVERLAY,
    SCALE_LEVELS,
    ShownClip,
    encode_animation,
    error_picture,
    read_clips,
    warping_error,
)
from pipeline.showing.report_html import PICTURE_SIDE, figures, image_tag, text_of
from pipeline.showing.report_measures import Quantity
from pipeline.showing.sheets import scaled_to
from pipeline.showing.status import frames_in_words

CLIPS_SHOWN = 6
CLIPS_MEASURED = 60
ANIMATION_QUALITY = 75
HEADS = ("frames, cut to window", "occlusion", "warping error")


def frames_section(store: DatasetStore, usable: NDArray[np.int64]) -> str:
    """Return animations, occlusion and warping error of some clips, and distributions over more of them, as HTML.

    The text is empty for a dataset of single photos.
    """
    if store.layout.frames == 1 or not len(usable):
        return ""
    photos = max(1, CLIPS_MEASURED // store.layout.motions)
    measured = [clip for row in spread(usable, photos) for clip in _measure(store, row)]
    shown = "".join(_sample(read_clips(store, row)[0]) for row in spread(usable, CLIPS_SHOWN))
    what = frames_in_words(store.layout)
    heads = "".join(f'<span class="soft">{name}</span>' for name in HEADS)
    intro = (
        "The first picture flickers between the frames. The warping error is the difference between the photo and the "
    )
    intro += "next frame warped back by the flow, where the photo is visible in both, in levels of 0 to 255. "
    of_step = "" if store.layout.frames == 2 else "Occlusion and errors belong to the first step. "
    kinds = {
        "hidden": "hidden in the next frame",
        "leaving": "leaves the picture",
        "uncovered": "new in the next frame",
    }
    keys = "".join(f'<span><i style="background:rgb{OVERLAY[kind]}"></i>{text}</span>' for kind, text in kinds.items())
    about = f"{len(measured)} {what}, evenly spread. The line marks the median, which is written above."
    return (
        f'<h2>{what.capitalize()}</h2><p class="soft">{intro}{of_step}</p>'
        f'<div class="pictures three heads">{heads}</div>{shown}<div class="keys">{keys}</div>{_scale()}'
        f'<p class="soft">{about}</p>{figures(frame_quantities(measured))}'
    )


def measure_clip(clip: ShownClip) -> dict[str, float]:
    """Return median and 95th percentile of the warping error in levels, and shares of the pixels in percent."""
    error = warping_error(clip)
    known = error[np.isfinite(error)]
    median, high = np.quantile(known, (0.5, 0.95)) if known.size else (np.nan, np.nan)
    rows, columns = clip.window
    kept = (rows.stop - rows.start) * (columns.stop - columns.start) / error.size
    return {
        "median": float(median),
        "high": float(high),
        "hidden": 100 * float((clip.occlusion == HIDDEN).mean()),
        "leaving": 100 * float((clip.occlusion == LEAVING).mean()),
        "uncovered": 100 * float(clip.uncovered.mean()),
        "window": 100 * kept,
    }


def frame_quantities(measured: list[dict[str, float]]) -> list[Quantity]:
    """Return the distributions of what `measure_clip` measured."""
    meanings = {
        "median": ("Median error", "levels", "Half of the visible pixels have a smaller warping error."),
        "high": ("95 % error", "levels", "95 % of the visible pixels have a smaller warping error."),
        "hidden": ("Hidden", "%", "Share of the photo that is hidden in the next frame."),
        "leaving": ("Leaving", "%", "Share of the photo that leaves the picture."),
        "uncovered": ("Uncovered", "%", "Share of the next frame that the photo does not show."),
        "window": ("Window", "%", "Share of the picture that the window keeps."),
    }
    return [
        Quantity(name, unit, meaning, np.array([one[key] for one in measured], np.float64))
        for key, (name, unit, meaning) in meanings.items()
    ]


def _measure(store: DatasetStore, row: int) -> list[dict[str, float]]:
    return [measure_clip(clip) for clip in read_clips(store, row)]


def _sample(clip: ShownClip) -> str:
    measured = measure_clip(clip)
    facts = f"warping error: median {measured['median']:.2g}, 95 % below {measured['high']:.2g} levels"
    error = image_tag(error_picture(warping_error(clip)), f"warping error of {clip.id}")
    pictures = _animation_tag(clip) + image_tag(clip.occlusion_picture(), f"occlusion of {clip.id}") + error
    label = f'<div class="label">{text_of(clip.id)} · {facts}</div>'
    return f'<div class="sample">{label}<div class="pictures three">{pictures}</div></div>'


def _animation_tag(clip: ShownClip) -> str:
    cut = [image[clip.window] for image in clip.images]
    side = min(PICTURE_SIDE, max(cut[0].shape[:2]))
    frames = [scaled_to(image, side) for image in cut]
    source = b64encode(encode_animation(frames, "WEBP", ANIMATION_QUALITY)).decode()
    size = f'width="{frames[0].width}" height="{frames[0].height}"'
    return f'<img {size} alt="frames of {html.escape(clip.id)}" src="data:image/webp;base64,{source}">'


def _scale() -> str:
    ramp = np.linspace(0, SCALE_LEVELS, 160, dtype=np.float32)[None].repeat(12, 0)
    bar = image_tag(error_picture(ramp), "scale of the warping error")
    grey = "rgb" + str(tuple(error_picture(np.full((1, 1), np.nan, np.float32))[0, 0].tolist()))
    return (
        f'<p class="soft legend">warping error: 0 {bar} {SCALE_LEVELS} levels or more</p>'
        f'<div class="keys"><span><i style="background:{grey}"></i>not compared: not visible in both</span></div>'
    )
