"""Batches: sizes, colours, flips in both readings, crops, and that a seed decides them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from flowsim import flow_to_rgb, rgb_to_flow
from segmentation.data.photo_samples import Triplet
from segmentation.data.transforms import Augmentation, PreparedBatch, finish_batch, make_batch, prepare_batch
from segmentation.errors import SegmentationError
from tests.segmentation.data.random_triplets import make_generator, make_sample


def mirror(sample: Triplet, *, rows: bool, columns: bool, physical: bool) -> Triplet:
    """Mirror a sample; with `physical` its motion too."""
    axes = [axis for axis, chosen in ((0, rows), (1, columns)) if chosen]
    image, flow_px, mask = (tensor.flip(axes) for tensor in sample[1:4])
    if physical:
        flow_px = flow_px * torch.tensor([-1.0 if columns else 1.0, -1.0 if rows else 1.0])
    return Triplet(sample.id, image, flow_px, mask)


def find_flips(seed: int) -> tuple[bool, bool]:
    """Return whether rows and columns of a batch of one were mirrored, seen from the image."""
    sample = make_sample(16, 16)
    drawn = make_batch([sample], augmentation=Augmentation(), generator=make_generator(seed), side_px=16).image
    for rows in (False, True):
        for columns in (False, True):
            axes = [axis for axis, chosen in ((-2, rows), (-1, columns)) if chosen]
            if torch.equal(drawn, make_batch([sample], side_px=16).image.flip(axes)):
                return rows, columns
    raise AssertionError("no mirror image")


def test_samples_of_any_size_become_one_batch() -> None:
    batch = make_batch([make_sample(24, 36), make_sample(50, 20, 1)], side_px=32)
    assert batch.image.shape == batch.flow_rgb.shape == (2, 3, 32, 32)
    assert batch.mask.shape == (2, 32, 32)
    assert (batch.image.dtype, batch.flow_rgb.dtype, batch.mask.dtype) == (torch.float32, torch.float32, torch.uint8)
    assert set(batch.mask.unique().tolist()) == {0, 1}
    for pixels in batch[:2]:
        assert 0 <= pixels.min() <= pixels.max() <= 1


def test_at_its_own_size_nothing_changes() -> None:
    sample = make_sample(32, 32)
    batch = make_batch([sample], side_px=32)
    assert torch.equal(batch.image[0], sample.image.movedim(-1, 0) / 255)
    assert torch.equal(batch.flow_rgb[0], flow_to_rgb(sample.flow_px).movedim(-1, 0) / 255)
    assert torch.equal(batch.mask[0], sample.mask)


def test_images_are_resized_by_bicubic_interpolation() -> None:
    sample = make_sample(30, 40)
    batch = make_batch([sample], side_px=64)
    expected = cv2.resize(sample.image.numpy().astype(np.float32) / 255, (64, 64), interpolation=cv2.INTER_CUBIC)
    # Rows and columns are rounded in turn; the cubic's weights have a sum of magnitudes of up to 1.375.
    tolerance = (0.5 * 1.375 + 0.5) / 255
    np.testing.assert_allclose(batch.image[0].movedim(0, -1), expected.clip(0, 1), rtol=0, atol=tolerance)


def test_masks_are_resized_to_the_pixel_whose_centre_is_nearest() -> None:
    height, width, side = 50, 21, 32
    mask = np.random.default_rng(0).integers(0, 2, (height, width), np.uint8)
    sample = make_sample(height, width)._replace(mask=torch.from_numpy(mask))
    expected = np.empty((side, side), np.uint8)
    for row in range(side):
        for column in range(side):
            expected[row, column] = mask[int((row + 0.5) * height / side), int((column + 0.5) * width / side)]
    np.testing.assert_array_equal(make_batch([sample], side_px=side).mask[0], expected)


@pytest.mark.parametrize("flips", ["physical", "reference"])
@pytest.mark.parametrize("seed", range(6))
def test_flips(flips: str, seed: int) -> None:
    sample = make_sample(16, 16)
    rows, columns = find_flips(seed)
    options = Augmentation(flips=flips)
    batch = make_batch([sample], augmentation=options, generator=make_generator(seed), side_px=16)
    scene = mirror(sample, rows=rows, columns=columns, physical=flips == "physical")
    # The published way mirrors the picture of the flow: colours, which mean directions, stay.
    colors = flow_to_rgb(sample.flow_px if flips == "reference" else scene.flow_px).movedim(-1, 0) / 255
    if flips == "reference":
        colors = colors.flip([axis for axis, chosen in ((-2, rows), (-1, columns)) if chosen])
    assert torch.equal(batch.mask[0], scene.mask)
    torch.testing.assert_close(batch.flow_rgb[0], colors, rtol=0, atol=1.001 / 255)


def make_picture(height: int, width: int, longest: float = 0.6) -> tuple[Triplet, Triplet]:
    """Return a sample whose flow is a JPEG picture of less than full saturation, and the same with its true vectors."""
    sample = make_sample(height, width)
    lengths = sample.flow_px.norm(dim=-1)
    flow_px = sample.flow_px * (longest / lengths.max())
    written = cv2.imencode(".jpg", flow_to_rgb(flow_px, 1.0).numpy()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    picture = np.ascontiguousarray(cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1])
    read_back = torch.from_numpy(rgb_to_flow(picture).flow)
    true = sample._replace(flow_px=flow_px)
    return sample._replace(flow_px=read_back, flow_rgb=torch.from_numpy(picture)), true


@pytest.mark.parametrize("flips", ["reference", "physical", "none"])
def test_pictures_of_flow_are_not_touched_but_for_mirrored_directions(flips: str) -> None:
    sample, true = make_picture(24, 24)
    assert sample.flow_rgb is not None
    assert torch.equal(sample.colors(), sample.flow_rgb)
    assert torch.equal(true.colors(), flow_to_rgb(true.flow_px, min_radius=1))
    assert not torch.equal(make_batch([true], side_px=24).flow_rgb[0] * 255, sample.flow_rgb.movedim(-1, 0).float())
    seen = set()
    for seed in range(12):
        rows, columns = find_flips(seed) if flips != "none" else (False, False)
        seen.add((rows, columns))
        prepared = prepare_batch(
            [sample], augmentation=Augmentation(flips=flips), generator=make_generator(seed), side_px=24
        )
        axes = [axis for axis, chosen in ((0, rows), (1, columns)) if chosen]
        if flips == "physical" and axes:
            mirrored = mirror(true, rows=rows, columns=columns, physical=True)
            expected = flow_to_rgb(mirrored.flow_px, 1.0).float()
            apart = (prepared.colors[0].float() - expected).abs()
            assert apart.mean() < 4
            assert apart.quantile(0.95) < 16
        else:
            assert torch.equal(prepared.colors[0], sample.flow_rgb.flip(axes))
    assert len(seen) == (1 if flips == "none" else 4)


def test_all_four_flips_happen_and_none_when_told() -> None:
    assert len({find_flips(seed) for seed in range(24)}) == 4
    sample = make_sample(16, 16)
    for seed in range(4):
        options = Augmentation(flips="none")
        batch = make_batch([sample], augmentation=options, generator=make_generator(seed), side_px=16)
        assert torch.equal(batch.image, make_batch([sample], side_px=16).image)


def test_unknown_flow_is_black() -> None:
    sample = make_sample(16, 16)
    sample.flow_px[1, 2] = torch.nan
    rgb = make_batch([sample], side_px=16).flow_rgb[0]
    assert not rgb[:, 1, 2].any()
    assert rgb[:, 0, 0].any()


def test_crops_keep_the_three_aligned() -> None:
    height, width = 40, 60
    ramp = torch.arange(height * width).reshape(height, width)
    place = torch.stack([ramp // width * 6, ramp % width * 4, ramp * 0], -1).to(torch.uint8)
    sample = Triplet("ramp", place, torch.ones(height, width, 2), (ramp % width >= 30).to(torch.uint8))
    options = Augmentation(flips="none", smallest_crop=0.3)
    sizes = []
    for seed in range(8):
        batch = make_batch([sample], augmentation=options, generator=make_generator(seed), side_px=64)
        column = batch.image[0, 1] * 255 / 4
        away = (column - 29.5).abs() > 2  # bicubic interpolation blurs the edge
        assert torch.equal((column > 29.5)[away], batch.mask[0].bool()[away])
        sizes.append(float(column.max() - column.min()) / width)
    assert 0.3**0.5 - 0.1 < min(sizes) < max(sizes) < 1
    assert max(sizes) - min(sizes) > 0.1


def test_crops_lie_anywhere() -> None:
    height, width = 40, 60
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    places = torch.from_numpy(np.stack([rows, columns, 0 * rows], -1))
    sample = Triplet("ramp", places, torch.ones(height, width, 2), torch.ones(height, width, dtype=torch.uint8))
    options = Augmentation(flips="none", smallest_crop=0.25)
    ends = []
    for seed in range(200):
        batch = make_batch([sample], augmentation=options, generator=make_generator(seed), side_px=60)
        values = (batch.image[0, :2] * 255).round()
        ends.append((*values.amin((1, 2)).tolist(), *values.amax((1, 2)).tolist()))
    top, left, bottom, right = np.transpose(ends)
    # Crops touch every side of the picture, and on the average lie in its middle.
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, height - 1, width - 1)
    assert abs(np.mean(top + bottom) / 2 - 19.5) < 1.5
    assert abs(np.mean(left + right) / 2 - 29.5) < 2.0
    assert min(bottom - top) < 0.6 * height
    assert min(right - left) < 0.6 * width


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_spent_batch_lends_its_memory(jitter: float) -> None:
    options = Augmentation(jitter=jitter)

    def prepared(seed: int, side_px: int = 24) -> PreparedBatch:
        samples = [make_sample(20, 30, seed), make_sample(30, 20, seed + 1)]
        return prepare_batch(samples, augmentation=options, generator=make_generator(seed), side_px=side_px)

    spent = finish_batch(prepared(0), "cpu")
    memory = [tensor.data_ptr() for tensor in spent[:2]]
    batch = finish_batch(prepared(5), "cpu", spent)
    assert [tensor.data_ptr() for tensor in batch[:2]] == memory
    for again, fresh in zip(batch, finish_batch(prepared(5), "cpu"), strict=True):
        assert torch.equal(again, fresh)
    assert finish_batch(prepared(5, side_px=16), "cpu", batch).image.shape == (2, 3, 16, 16)


def test_a_seed_decides_everything_and_the_global_generator_nothing() -> None:
    samples = [make_sample(20, 30), make_sample(30, 20, 1)]
    options = Augmentation(smallest_crop=0.5, jitter=0.3)

    def varied(seed: int) -> Tensor:
        batch = make_batch(samples, augmentation=options, generator=make_generator(seed), side_px=24)
        return torch.cat([batch.image, batch.flow_rgb])

    before = torch.get_rng_state()
    assert torch.equal(varied(3), varied(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(varied(3), varied(4))


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(SegmentationError, match="flips is 'both'; expected one of reference, physical, none"):
        Augmentation(flips="both")
    with pytest.raises(SegmentationError, match=r"smallest_crop is 0.0; expected a part of the area in \(0, 1\]"):
        Augmentation(smallest_crop=0.0)
    with pytest.raises(SegmentationError, match=r"jitter is 1.0; expected in \[0, 1\)"):
        Augmentation(jitter=1.0)
    with pytest.raises(SegmentationError, match="at least one sample"):
        make_batch([])
    with pytest.raises(SegmentationError, match=r"needs an explicit torch.Generator"):
        make_batch([make_sample(8, 8)], augmentation=Augmentation())
