"""The depth of one photo as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.engine.placement import local_share
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.pictures import write_png
from pipeline.files.regular_files import read_file
from pipeline.photos.decoding import decode_photo
from pipeline.showing.preview import depth_in_colour


def draw_depth(photo: Path, output: Path, depth_model: str, device: str) -> tuple[Path, Path]:
    """Write the inverse depth of a photo, 65535 = nearest, and a coloured picture beside it; return both paths.

    Raises:
        PipelineError: the photo cannot be used, the depth is not finite, or a file cannot be written.
        depth.DepthError: there is no such depth model.
    """
    from depth import DepthEstimator

    try:
        pixels = decode_photo(read_file(photo))
    except OSError as error:
        raise PipelineError(f"{photo}: cannot be read ({error.strerror or error}); expected one photo.") from None
    except UnusablePhoto as error:
        raise PipelineError(f"{photo}: {error}") from None
    (inverse_depth,) = DepthEstimator.load(depth_model, device=local_share(device).device)([pixels])
    if not np.isfinite(inverse_depth).all():
        raise PipelineError(f"{photo}: {depth_model} gave values that are not finite.")
    preview = output.with_name(f"{output.stem}-preview.png")
    write_png(output, np.rint(inverse_depth * 65535).astype(np.uint16))
    write_png(preview, np.hstack([pixels, depth_in_colour(inverse_depth)]))
    return output, preview
