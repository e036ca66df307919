"""The steps of rendering as tensor operations on any device; each computes the same as its namesake in a kernel."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, UInt8
from torch import Tensor

from flowsim.kernels.composition import cubic_weights
from flowsim.kernels.flow import SMALLEST_DEPTH_RATIO, plane_and_parallax
from flowsim.kernels.rasterization import NOTHING, TOLERANCE, barycentric, triangle_corners
from flowsim.kernels.tracking import FOLD, HIDDEN, NEIGHBOURHOOD_PX, VISIBLE
from flowsim.views import FlowBetween, Surface

_LOW_BITS = 2**32 - 1


def place(array: np.ndarray, device: str) -> Tensor:
    """Copy an array to a device."""
    return torch.from_numpy(array).to(device)


def fetch(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to the CPU."""
    array: np.ndarray = tensor.cpu().numpy()
    return array


def project(
    matrix: Float32[Tensor, "12"], depth: Float32[Tensor, "h w"], nearness: tuple[float, float], xs: Tensor, ys: Tensor
) -> tuple[Float32[Tensor, "h w 2"], Float32[Tensor, "h w"]]:
    """Return the displacement of every pixel, px, and its inverse depth in the next frame."""
    u, v, change = plane_and_parallax(matrix.unbind(), xs, ys[:, None], depth)
    ratio = 1 + change
    is_in_front = ratio > SMALLEST_DEPTH_RATIO
    scale = torch.where(is_in_front, 1 / ratio, 0.0)
    next_depth = torch.where(is_in_front, (nearness[0] + nearness[1] * depth) * scale, -1.0)
    return torch.stack([u * scale, v * scale], -1), next_depth


def rasterize(
    displacement: Float32[Tensor, "h w 2"], next_depth: Float32[Tensor, "h w"], used: Bool[Tensor, "h w"]
) -> Int32[Tensor, "h w"]:
    """Return the nearest triangle at each pixel of the next frame.

    All pairs of a triangle and a pixel of its bounding box are listed. At each pixel the largest pair (depth, number)
    wins, so that the result does not depend on the order in which a device's threads arrive.
    """
    height, width = next_depth.shape
    squares = used[:-1, :-1].nonzero()
    first = 2 * (squares[:, 0] * width + squares[:, 1])
    triangles = torch.stack([first, first + 1], -1).flatten()
    places, depths = _places(displacement, triangles), _depths(next_depth, triangles)
    x0, y0, x1, y1, x2, y2 = places
    area = barycentric(x0, y0, x1, y1, x2, y2, x0, y0)[2]
    x, y = torch.stack(places[0::2]), torch.stack(places[1::2])
    left, right = (x.amin(0) - TOLERANCE).ceil().clamp(min=0), (x.amax(0) + TOLERANCE).floor().clamp(max=width - 1)
    top, bottom = (y.amin(0) - TOLERANCE).ceil().clamp(min=0), (y.amax(0) + TOLERANCE).floor().clamp(max=height - 1)
    columns, rows = (right - left + 1).clamp(min=0).long(), (bottom - top + 1).clamp(min=0).long()
    is_drawn = (area > 0) & (torch.stack(depths).amin(0) >= 0)
    counts = torch.where(is_drawn, columns * rows, 0)
    pair = torch.repeat_interleave(torch.arange(len(triangles), device=used.device), counts)
    number = torch.arange(len(pair), device=used.device) - (counts.cumsum(0) - counts)[pair]
    row = top[pair].long() + number // columns[pair]
    column = left[pair].long() + number % columns[pair]
    x0, y0, x1, y1, x2, y2 = (part[pair] for part in places)
    w1, w2, area = barycentric(x0, y0, x1, y1, x2, y2, column.double(), row.double())
    slack = TOLERANCE * area
    inside = (w1 >= -slack) & (w2 >= -slack) & (w1 + w2 <= area + slack)
    d0, d1, d2 = (part[pair] for part in depths)
    depth = (d0 + (w1 * (d1 - d0) + w2 * (d2 - d0)) / area).float().clamp(min=0)
    # Bits of floats that are not negative rise with them; among equals the triangle with the lowest number wins.
    key = (depth.view(torch.int32).long() << 32) | (_LOW_BITS - triangles[pair])
    best = torch.full((height * width,), -1, dtype=torch.int64, device=used.device)
    best.scatter_reduce_(0, (row * width + column)[inside], key[inside], "amax")
    winner = torch.where(best < 0, NOTHING, _LOW_BITS - (best & _LOW_BITS))
    return winner.int().view(height, width)


def sources(displacement: Float32[Tensor, "h w 2"], winner: Int32[Tensor, "h w"]) -> Float32[Tensor, "h w 2"]:
    """Return the column and row on the surface that each pixel shows; NaN where it shows none of it."""
    height, width = winner.shape
    x = torch.arange(width, device=winner.device).double()
    y = torch.arange(height, device=winner.device).double()[:, None]
    located = torch.stack(_locate(displacement, winner.clamp(min=0).long(), x, y), -1).float()
    return torch.where(winner[..., None] < 0, torch.nan, located)


def compose(
    colors: Float32[Tensor, "h w 3"],
    opacity: Float32[Tensor, "h w"],
    photo_labels: UInt8[Tensor, "h w"],
    label: int,
    layer_source: Float32[Tensor, "h w 2"],
    frame: Float32[Tensor, "h w 3"],
    front: UInt8[Tensor, "h w"],
    source: Float32[Tensor, "h w 2"],
) -> None:
    """Lay one layer over the layers behind it; change `frame`, `front` and `source`."""
    is_covered = ~layer_source[..., 0].isnan()
    where = layer_source[is_covered]
    is_front = torch.ones(len(where), dtype=torch.bool, device=where.device)
    if label > 0:
        is_front = _at(photo_labels, where) == label
    is_in_front = is_covered.clone()
    is_in_front[is_covered] = is_front
    front[is_in_front] = label
    source[is_in_front] = layer_source[is_in_front]
    sampled = _bicubic(torch.cat([colors, opacity[..., None]], -1), where)
    alpha = sampled[:, 3:].clamp(0, 1)
    frame[is_covered] = alpha * sampled[:, :3] + (1 - alpha) * frame[is_covered]


def follow(
    labels: UInt8[Tensor, "h w"],
    source: Float32[Tensor, "h w 2"],
    label: int,
    surface: Surface,
    found: FlowBetween,
) -> None:
    """Follow the pixels that show one layer to another view, in which the layer is `surface`; fill in `found`."""
    displacement, winner, next_depth = surface
    flow, valid, fate = found
    height, width = labels.shape
    rows, columns = (labels == label).nonzero().unbind(1)
    sx, sy = source[rows, columns].double().unbind(1)
    x0, y0 = sx.floor().long().clamp(0, width - 2), sy.floor().long().clamp(0, height - 2)
    half = (sx - x0 + sy - y0 > 1).long()
    triangle = 2 * (y0 * width + x0) + half
    w1 = torch.where(half == 1, 1 - (sx - x0), sx - x0)
    w2 = torch.where(half == 1, 1 - (sy - y0), sy - y0)
    places, (d0, d1, d2) = _places(displacement, triangle), _depths(next_depth, triangle)
    corners = triangle_corners(triangle, width)
    u, v = (
        (1 - w1 - w2) * (places[axis] - corners[axis])
        + w1 * (places[2 + axis] - corners[2 + axis])
        + w2 * (places[4 + axis] - corners[4 + axis])
        for axis in (0, 1)
    )
    is_valid = ~((d0 < 0) | ((w1 > 0) & (d1 < 0)) | ((w2 > 0) & (d2 < 0)))
    vectors = torch.stack([u + (sx - columns), v + (sy - rows)], -1).float()
    flow[rows, columns] = torch.where(is_valid[:, None], vectors, 0.0)
    valid[rows, columns] = is_valid
    target = torch.stack([sx + u, sy + v], -1)
    nearest = (target + 0.5).floor()
    is_inside = ((nearest >= 0) & (nearest < nearest.new_tensor([width, height]))).all(1) & is_valid
    there = _at(winner, target)
    depth = (1 - w1 - w2) * d0 + w1 * d1 + w2 * d2
    is_hidden = is_inside & (there >= 0)
    is_hidden &= _folds_over(displacement, next_depth, there.clamp(min=0).long(), target, (sx, sy), depth)
    fate_inside = torch.where(is_hidden, HIDDEN, VISIBLE).to(fate.dtype)
    fate[rows, columns] = torch.where(is_inside, fate_inside, fate[rows, columns])


def find_covered(
    labels: UInt8[Tensor, "h w"],
    label: int,
    photo_labels: UInt8[Tensor, "h w"],
    nearer: int,
    cover: Surface,
    found: FlowBetween,
) -> None:
    """Mark the pixels of a layer whose targets the surface `cover` of a nearer layer covers; change `found.fate`."""
    displacement, winner, _ = cover
    flow, _, fate = found
    rows, columns = ((labels == label) & (fate == VISIBLE)).nonzero().unbind(1)
    target = torch.stack([columns, rows], -1) + flow[rows, columns].double()
    triangle = _at(winner, target)
    there = torch.stack(_locate(displacement, triangle.clamp(min=0).long(), *target.unbind(1)), -1)
    is_covered = (triangle >= 0) & (_at(photo_labels, there) == nearer)
    fate[rows[is_covered], columns[is_covered]] = HIDDEN


def _folds_over(
    displacement: Tensor,
    next_depth: Tensor,
    triangle: Tensor,
    target: Tensor,
    own: tuple[Tensor, Tensor],
    depth: Tensor,
) -> Tensor:
    """Return which triangles lie outside the neighbourhood of `own` on the surface and in front of `depth`."""
    xa, ya, xb, yb, xc, yc = triangle_corners(triangle, displacement.shape[1])
    is_beside = (0.5 * (xb + xc) - own[0]).abs() <= NEIGHBOURHOOD_PX
    is_beside &= (0.5 * (yb + yc) - own[1]).abs() <= NEIGHBOURHOOD_PX
    column, row = _locate(displacement, triangle, *target.unbind(1))
    e0, e1, e2 = _depths(next_depth, triangle)
    there = e0 + (column - xa) * (xb - xa) * (e1 - e0) + (row - ya) * (yc - ya) * (e2 - e0)
    folds: Tensor = ~is_beside & (there > depth + FOLD)
    return folds


def _places(displacement: Tensor, triangle: Tensor) -> list[Any]:
    """Return the corners of triangles in the next frame: x0, y0, x1, ..., float64."""
    corners = triangle_corners(triangle, displacement.shape[1])
    places = []
    for x, y in zip(corners[0::2], corners[1::2], strict=True):
        moved = displacement[y, x].double()
        places += [x + moved[..., 0], y + moved[..., 1]]
    return places


def _depths(next_depth: Tensor, triangle: Tensor) -> list[Tensor]:
    """Return the inverse depths of the corners of triangles, float64."""
    xa, ya, xb, yb, xc, yc = triangle_corners(triangle, next_depth.shape[1])
    return [next_depth[y, x].double() for x, y in ((xa, ya), (xb, yb), (xc, yc))]


def _locate(displacement: Tensor, triangle: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column and row on the surface that triangles' affine maps send to points."""
    x0, y0, x1, y1, x2, y2 = _places(displacement, triangle)
    w1, w2, area = barycentric(x0, y0, x1, y1, x2, y2, x, y)
    xa, ya, xb, yb, xc, yc = triangle_corners(triangle, displacement.shape[1])
    w1, w2 = w1 / area, w2 / area
    return xa + w1 * (xb - xa) + w2 * (xc - xa), ya + w1 * (yb - ya) + w2 * (yc - ya)


def _at(values: Tensor, points: Tensor) -> Tensor:
    """Return the values at the pixels nearest to points (n,2), column and row; the border is repeated outside."""
    height, width = values.shape[:2]
    column, row = (points + 0.5).floor().long().unbind(1)
    return values[row.clamp(0, height - 1), column.clamp(0, width - 1)]


def _bicubic(values: Float32[Tensor, "h w c"], points: Float32[Tensor, "n 2"]) -> Float32[Tensor, "n c"]:
    """Interpolate values at points, column and row, by bicubic convolution; the border is repeated outside."""
    height, width = values.shape[:2]
    base = points.floor()
    wx, wy = (cubic_weights(part) for part in (points - base).unbind(1))
    x0, y0 = base.long().unbind(1)
    total = torch.zeros(len(points), values.shape[2], device=values.device)
    for j in range(4):
        for i in range(4):
            row, column = (y0 + j - 1).clamp(0, height - 1), (x0 + i - 1).clamp(0, width - 1)
            total += (wx[i] * wy[j])[:, None] * values[row, column]
    return total
