"""A slow, obvious renderer: every pixel of the next frame asks every triangle of every layer."""

import numpy as np

VISIBLE, HIDDEN, LEAVES = 0, 1, 2


def triangles(displacement, next_depth):
    """Return corners on the surface, corners in the next frame, and their inverse depths: (n,3,2), (n,3,2), (n,3)."""
    height, width = next_depth.shape
    found = []
    for y in range(height - 1):
        for x in range(width - 1):
            for corners in (((x, y), (x + 1, y), (x, y + 1)), ((x + 1, y + 1), (x, y + 1), (x + 1, y))):
                depths = [float(next_depth[row, column]) for column, row in corners]
                places = [np.add(corner, displacement[corner[1], corner[0]].astype(float)) for corner in corners]
                if min(depths) >= 0 and np.linalg.det([places[1] - places[0], places[2] - places[0]]) > 0:
                    found.append((corners, places, depths))
    return tuple(np.array(part, float) for part in zip(*found, strict=True))


def hits(layer, point):
    """Yield (inverse depth, place on the surface) of each part of a layer, seen from its front, at a point."""
    corners, places, depths = layer
    (ax, ay), (bx, by), (cx, cy) = np.moveaxis(places, 0, -1)
    px, py = point
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    first = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area
    second = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area
    weights = np.stack([1 - first - second, first, second], -1)
    for place in np.flatnonzero(weights.min(-1) >= -1e-6):
        yield float(weights[place] @ depths[place]), weights[place] @ corners[place]


def front(layers, photo_labels, point):
    """Return (rank, inverse depth, place) of what is in front at a point of the next frame, or None.

    Args:
        layers: their triangles, from the farthest to the nearest layer.
        photo_labels: (h,w): rank of the layer that each pixel of the photo belongs to.
        point: column and row.
    """
    for rank in reversed(range(len(layers))):
        found = max(hits(layers[rank], point), key=lambda hit: hit[0], default=None)
        if found is None:
            continue
        column, row = np.floor(found[1] + 0.5).astype(int)
        if rank == 0 or photo_labels[row, column] == rank:
            return rank, *found
    return None


def fate(layers, photo_labels, pixel, rank, displacement, depth, fold=1e-3):
    """Return what becomes of a pixel (column, row) of the photo."""
    height, width = photo_labels.shape
    target = np.add(pixel, displacement.astype(float))
    column, row = np.floor(target + 0.5).astype(int)
    if not (0 <= column < width and 0 <= row < height):
        return LEAVES
    for other in range(rank, len(layers)):
        for there, place in hits(layers[other], target):
            nearest = np.floor(place + 0.5).astype(int)
            if other > rank and photo_labels[nearest[1], nearest[0]] == other:
                return HIDDEN
            if other == rank and there > depth + fold and np.abs(place - pixel).max() > 2:
                return HIDDEN
    return VISIBLE
