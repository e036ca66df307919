"""The 3x4 matrix [B | k] by which the flow kernel knows a motion.

Let c = (x, y, 1) be a pixel relative to the principal point, K = diag(f, f, 1) and d = 1/Z, in a scene whose points
move from X to R X + t. Then

    c' ~ K R K^-1 c + d K t  =  c + B c + d k,    B = K (R - I) K^-1,    k = K t

which is plane (the homography of the infinitely far plane) + parallax. Every formula here is plain arithmetic on the
entries of vectors and matrices.
"""

from collections.abc import Callable
from typing import Any

from flowsim.camera import depth_range_terms

Vector = tuple[Any, Any, Any]
Matrix = tuple[Vector, Vector, Vector]


def rotation_change(rotation: Vector, sinc: Callable[[Any], Any]) -> Matrix:
    """Return R - I of a rotation vector by Rodrigues' formula, accurate down to the smallest angles.

    Args:
        rotation: axis times angle, rad.
        sinc: x -> sin(pi x) / (pi x) for the kind of number at hand: `numpy.sinc` or `torch.sinc`.

    Returns:
        The nine entries, row by row.
    """
    rx, ry, rz = rotation
    turns = (rx * rx + ry * ry + rz * rz) ** 0.5 / 3.141592653589793
    # R - I = a [r]x + b [r]x^2,  a = sin(angle) / angle,  b = (1 - cos(angle)) / angle^2
    a = sinc(turns)
    b = 0.5 * sinc(0.5 * turns) ** 2
    return (
        (-b * (ry * ry + rz * rz), b * rx * ry - a * rz, b * rx * rz + a * ry),
        (b * rx * ry + a * rz, -b * (rx * rx + rz * rz), b * ry * rz - a * rx),
        (b * rx * rz - a * ry, b * ry * rz + a * rx, -b * (rx * rx + ry * ry)),
    )


def apply(change: Matrix, vector: Vector) -> Vector:
    """Return (R - I) X for a matrix R - I and a vector X."""
    x, y, z = vector
    first, second, third = ((row[0] * x + row[1] * y + row[2] * z) for row in change)
    return first, second, third


def add(first: Vector, second: Vector) -> Vector:
    """Return the sum of two vectors."""
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def composed(first: tuple[Matrix, Vector], second: tuple[Matrix, Vector]) -> tuple[Matrix, Vector]:
    """Return the motion that does `first`, then `second`; each is (R - I, t).

    R - I = A + B + B A and t = t1 + B t1 + t2 with A = R1 - I, B = R2 - I.
    """
    (a, t), (b, s) = first, second
    columns = [apply(b, (a[0][j], a[1][j], a[2][j])) for j in range(3)]
    rows = [
        (
            a[i][0] + b[i][0] + columns[0][i],
            a[i][1] + b[i][1] + columns[1][i],
            a[i][2] + b[i][2] + columns[2][i],
        )
        for i in range(3)
    ]
    return (rows[0], rows[1], rows[2]), add(add(t, apply(b, t)), s)


def about(change: Matrix, pivot: Vector, translation: Vector) -> Vector:
    """Return the t for which R X + t = R (X - pivot) + pivot + translation."""
    turned = apply(change, pivot)
    return translation[0] - turned[0], translation[1] - turned[1], translation[2] - turned[2]


def pinhole_matrix(change: Matrix, translation: Vector, focal_px: Any) -> tuple[Any, ...]:
    """Return [B | k] of a rigid motion.

    Args:
        change: R - I.
        translation: t in nearest depths.
        focal_px: focal length f, px.

    Returns:
        Twelve entries, row by row: B = K (R - I) K^-1 left, k = K t right.
    """
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = change
    tx, ty, tz = translation
    f = focal_px
    return (m00, m01, f * m02, f * tx, m10, m11, f * m12, f * ty, m20 / f, m21 / f, m22, tz)


def shift_matrix(shift: tuple[Any, Any], zero_plane: Any) -> tuple[Any, ...]:
    """Return [B | k] of flow = (d - zero_plane) shift, the parallax without a camera of the preset `parallax`.

    Args:
        shift: flow in px per unit of inverse depth.
        zero_plane: inverse depth that stands still.

    Returns:
        Twelve entries, row by row.
    """
    x, y = shift
    zero = 0.0 * x
    return (zero, zero, -zero_plane * x, x, zero, zero, -zero_plane * y, y, zero, zero, zero, zero)


def for_normalized_depth(matrix: tuple[Any, ...], far: Any) -> tuple[Any, ...]:
    """Return the matrix that gives for normalised inverse depth n what `matrix` gives for d = 1/far + (1 - 1/far) n.

    Args:
        matrix: twelve entries of [B | k].
        far: depth of the farthest point in nearest depths, at least 1.

    Returns:
        Twelve entries: [B + k e_3^T / far | (1 - 1/far) k].
    """
    folded: list[Any] = []
    for row in range(3):
        b0, b1, b2, k = matrix[4 * row : 4 * row + 4]
        # k d = offset + slope n
        offset, slope = depth_range_terms(far, k)
        folded += [b0, b1, b2 + offset, slope]
    return tuple(folded)
