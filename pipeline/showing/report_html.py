"""Parts of the HTML pages that `pipeline report` writes: the page, pictures within it, and figures."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.files.ids import shown
from pipeline.files.whole_files import write_whole
from pipeline.showing.preview import color_wheel_png
from pipeline.showing.report_measures import Quantity
from pipeline.showing.report_plots import histogram, in_words
from pipeline.showing.sheets import scaled_to

PICTURE_SIDE = 300  # px, of the longer side


def write_page(path: Path, title: str, columns: int, sections: Sequence[str]) -> None:
    """Write a page of sections in HTML; empty sections are left out.

    Raises:
        PipelineError: the page cannot be written.
    """
    template = Template((files("pipeline.showing") / "report_page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title), columns=columns, body="\n".join(part for part in sections if part)
    )
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise PipelineError(f"{path}: the report cannot be written ({error.strerror or error}).") from error


def color_legend() -> str:
    """Return the colour wheel of flow with its explanation, as HTML."""
    source = f"data:image/png;base64,{b64encode(color_wheel_png()).decode()}"
    return (
        f'<p class="soft legend"><img width="60" height="60" alt="colour wheel" src="{source}">'
        "Each point of the wheel has the colour of motion from the centre to it.</p>"
    )


def image_tag(pixels: NDArray[np.uint8], description: str) -> str:
    """Return a picture as an HTML image with embedded pixels."""
    picture = scaled_to(pixels, min(PICTURE_SIDE, max(pixels.shape[:2])))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88, subsampling=0)
    source = f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img {size} alt="{html.escape(description)}" src="{source}">'


def figures(quantities: Sequence[Quantity], *more: str) -> str:
    """Return figures of distributions, followed by further figures, as HTML."""
    drawn = [
        figure(quantity.name, in_words(quantity), quantity.meaning, picture)
        for quantity in quantities
        if (picture := histogram(quantity))
    ]
    return f'<div class="figures">{"".join([*drawn, *more])}</div>'


def figure(name: str, median: str, meaning: str, picture: str) -> str:
    """Return a figure with its heading, as HTML."""
    head = f"<header><h3>{html.escape(name)}</h3><span>{html.escape(median)}</span></header>"
    return f"<figure>{head}<figcaption>{html.escape(meaning)}</figcaption>{picture}</figure>"


def text_of(line: str) -> str:
    """Return a line of text from a dataset as HTML, with control characters escaped."""
    return html.escape(shown(line))
