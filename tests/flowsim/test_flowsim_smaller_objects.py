"""Objects drawn smaller: they cover the wanted part, stay where the border cuts them off, and keep their looks."""

import numpy as np
import pytest

from flowsim import MotionPrior, Shot, separate_layers
from flowsim.smaller_objects import AnnotatedPhoto, draw_object_area, with_smaller_objects


def photo(*boxes, size=(80, 120)):
    """Return a blue floor with red objects in boxes (top, bottom, left, right); object i is object number i."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 2] = 200
    depth = np.linspace(0.1, 0.4, size[0], dtype=np.float32)[:, None].repeat(size[1], 1)
    labels = np.zeros(size, np.uint8)
    for number, (top, bottom, left, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
        depth[top:bottom, left:right] = 0.5 + 0.1 * number
    image[labels > 0] = 180, 20, 0
    return AnnotatedPhoto(image, depth, labels, np.where(labels > 0, 255, 0).astype(np.uint8))


def box_of(labels, number=1):
    rows, columns = np.nonzero(labels == number)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def test_objects_cover_the_wanted_part_around_their_middle():
    before = photo((20, 60, 30, 90))  # a quarter of the picture
    after = with_smaller_objects(before, 0.0625)
    assert (after.labels > 0).mean() == pytest.approx(0.0625, rel=0.1)
    assert box_of(after.labels) == pytest.approx((30, 50, 45, 75), abs=1)
    inside = np.zeros(after.labels.shape, bool)
    inside[33:47, 48:72] = True
    np.testing.assert_allclose(after.image[inside], [[180, 20, 0]] * inside.sum(), atol=2)
    np.testing.assert_allclose(after.inverse_depth[inside], 0.6, atol=0.01)
    assert (after.opacity[inside] == 255).all()
    outside = np.ones(after.labels.shape, bool)
    outside[28:52, 43:77] = False
    np.testing.assert_allclose(after.image[outside], [[0, 0, 200]] * outside.sum(), atol=3)
    assert after.inverse_depth[outside].max() < 0.45  # also where the object was
    assert (after.opacity[outside] == 0).all()
    assert np.array_equal(after.labels > 0, after.opacity >= 128)


@pytest.mark.parametrize(
    ("box", "corner"), [((0, 40, 0, 60), (0, 0)), ((40, 80, 60, 120), (80, 120)), ((40, 80, 20, 80), (80, None))]
)
def test_objects_that_the_border_cuts_off_stay_at_the_border(box, corner):
    top, bottom, left, right = box_of(with_smaller_objects(photo(box), 0.05).labels)
    assert (top if corner[0] == 0 else bottom) == corner[0]
    if corner[1] is not None:
        assert (left if corner[1] == 0 else right) == corner[1]
    assert bottom - top < 40 / 1.5


def test_objects_shrink_together_and_keep_their_order():
    after = with_smaller_objects(photo((10, 50, 10, 50), (30, 70, 40, 80)), 0.08)
    (top, _, left, _), (lower, _, further, _) = (box_of(after.labels, number) for number in (1, 2))
    factor = np.sqrt(0.08 / (photo((10, 50, 10, 50), (30, 70, 40, 80)).labels > 0).mean())
    assert lower - top == pytest.approx(20 * factor, abs=1.5)
    assert further - left == pytest.approx(30 * factor, abs=1.5)
    assert [layer.label for layer in separate_layers(*after).layers] == [0, 1, 2]


@pytest.mark.parametrize("boxes", [[(30, 40, 30, 40)], [(20, 40, 0, 120)], [(20, 70, 20, 80), (5, 6, 110, 111)], []])
def test_a_photo_stays_as_it_is_if_its_objects_cannot_or_need_not_shrink(boxes):
    before = photo(*boxes)
    assert with_smaller_objects(before, 0.02) is before
    assert with_smaller_objects(before, 1.0) is before


def test_the_part_is_drawn_for_each_photo_and_has_the_distribution_of_the_prior():
    prior = MotionPrior("mine", (Shot(),), object_area=(0.02, 0.05, 0.2))
    drawn = np.array([draw_object_area(prior, 3, f"photo {number}") for number in range(2000)])
    np.testing.assert_allclose(np.quantile(drawn, (0.25, 0.5, 0.75)), (0.035, 0.05, 0.125), rtol=0.1)
    assert draw_object_area(prior, 3, "photo 7") == drawn[7]
    assert draw_object_area(prior, 4, "photo 7") != drawn[7]
    assert draw_object_area(MotionPrior("mine", (Shot(),)), 3, "photo 7") == 1
