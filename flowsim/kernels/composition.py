"""Composition of a frame: a layer is sampled by bicubic convolution and laid over the layers behind it."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_ZERO = np.float32(0)
_ONE = np.float32(1)


def cubic_weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """Return the weights of the pixels at -1, 0, 1, 2 for a point at t in [0, 1).

    They are those of cubic convolution (Keys 1981) with a = -3/4. This a, which OpenCV and torch use as well, keeps
    frames nearly as sharp as photos; a = -1/2 blurs them.
    """
    return (
        ((-0.75 * t + 1.5) * t - 0.75) * t,
        (1.25 * t - 2.25) * t * t + 1.0,
        ((-1.25 * t + 1.5) * t + 0.75) * t,
        (0.75 * t - 0.75) * t * t,
    )


_cubic_weights = compiled(cubic_weights)


def _compose(
    colors: Any, opacity: Any, photo_labels: Any, label: Any, layer_source: Any, frame: Any, front: Any, source: Any
) -> None:
    """Lay one layer over the layers behind it.

    Args:
        colors: (h,w,3) float32, of the layer.
        opacity: (h,w) float32, of the layer.
        photo_labels: (h,w) uint8: the layer that each pixel of the photo belongs to.
        label: number of the layer.
        layer_source: (H,W,2) float32: column and row in the layer that each pixel shows; NaN = none.
        frame: (H,W,3) float32, written.
        front: (H,W) uint8, written where the layer is in front.
        source: (H,W,2) float32, written where the layer is in front.
    """
    height, width = opacity.shape
    bottom, right = height - 1, width - 1
    for y in range(layer_source.shape[0]):
        for x in range(layer_source.shape[1]):
            sx, sy = layer_source[y, x, 0], layer_source[y, x, 1]
            if np.isnan(sx):
                continue
            place_x = min(max(np.int64(np.floor(sx + np.float32(0.5))), 0), right)
            place_y = min(max(np.int64(np.floor(sy + np.float32(0.5))), 0), bottom)
            if label == 0 or photo_labels[place_y, place_x] == label:
                front[y, x] = label
                source[y, x, 0] = sx
                source[y, x, 1] = sy
            fx, fy = np.floor(sx), np.floor(sy)
            x0, y0 = np.int64(fx), np.int64(fy)
            red, green, blue, alpha = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            if sx == fx and sy == fy:
                red, green, blue = colors[y0, x0, 0], colors[y0, x0, 1], colors[y0, x0, 2]
                alpha = opacity[y0, x0]
            else:
                wx, wy = _cubic_weights(np.float32(sx - fx)), _cubic_weights(np.float32(sy - fy))
                for j in range(4):
                    row = min(max(y0 + j - 1, 0), bottom)
                    for i in range(4):
                        column = min(max(x0 + i - 1, 0), right)
                        weight = np.float32(wx[i] * wy[j])
                        red += weight * colors[row, column, 0]
                        green += weight * colors[row, column, 1]
                        blue += weight * colors[row, column, 2]
                        alpha += weight * opacity[row, column]
                alpha = min(max(alpha, np.float32(0)), _ONE)
            rest = _ONE - alpha
            frame[y, x, 0] = alpha * red + rest * frame[y, x, 0]
            frame[y, x, 1] = alpha * green + rest * frame[y, x, 1]
            frame[y, x, 2] = alpha * blue + rest * frame[y, x, 2]


compose = compiled(_compose)
