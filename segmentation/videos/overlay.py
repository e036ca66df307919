"""Masks drawn over their frames."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

Pixels = UInt8[np.ndarray, "h w 3"]
Color = tuple[int, int, int]

TINT: Color = (255, 64, 64)
_TINT_SHARE = 0.4


def tinted(image: Pixels, mask: Bool[np.ndarray, "h w"], color: Color = TINT) -> Pixels:
    """Return a frame with the object tinted and outlined; both (h,w,3) uint8 RGB."""
    drawn = image.copy()
    share = np.float32(_TINT_SHARE)
    drawn[mask] = np.rint((1 - share) * image[mask] + share * np.array(color, np.float32)).astype(np.uint8)
    return outlined(drawn, mask, color)


def outlined(image: Pixels, mask: Bool[np.ndarray, "h w"], color: Color) -> Pixels:
    """Return a frame with the object's outline drawn, about 1/400 of the longer side wide."""
    drawn = image.copy()
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, color, max(1, round(max(mask.shape) / 400)), cv2.LINE_AA)
    return drawn
