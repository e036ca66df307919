"""Reading and writing of flow files."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowsim import FlowsimError, read_flo, read_kitti_flow, write_flo, write_kitti_flow

CHAIRS = Path(__file__).parents[2].parent / "shared" / "data" / "FlyingChairs"


@pytest.fixture
def flow():
    return (np.random.default_rng(0).normal(size=(5, 7, 2)) * 20).astype(np.float32)


def test_flo_is_bit_exact_and_has_the_published_layout(tmp_path, flow):
    path = tmp_path / "a.flo"
    write_flo(path, flow)
    content = path.read_bytes()
    assert content[:4] == b"PIEH"
    assert struct.unpack("<ii", content[4:12]) == (7, 5)
    assert struct.unpack("<ff", content[12 + 8 * 9 : 20 + 8 * 9]) == tuple(flow[1, 2])
    back = read_flo(str(path))
    assert np.array_equal(back.flow, flow)
    assert back.valid.all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.flo"]


def test_kitti_keeps_flow_to_a_128th_of_a_pixel_and_has_the_published_layout(tmp_path, flow):
    path = tmp_path / "a.png"
    write_kitti_flow(path, flow)
    back = read_kitti_flow(path)
    assert back.valid.all()
    np.testing.assert_allclose(back.flow, flow, atol=1 / 128)
    blue_green_red = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert blue_green_red.dtype == np.uint16
    assert blue_green_red[1, 2].tolist() == [1, round(64 * flow[1, 2, 1] + 2**15), round(64 * flow[1, 2, 0] + 2**15)]


@pytest.mark.parametrize(
    ("write", "read", "name"), [(write_flo, read_flo, "a.flo"), (write_kitti_flow, read_kitti_flow, "a.png")]
)
def test_unknown_flow_stays_unknown(tmp_path, flow, write, read, name):
    valid = np.ones((5, 7), bool)
    valid[0, 3] = False
    flow[4, 6, 0] = np.nan
    flow[2, 2, 1] = 1e10
    write(tmp_path / name, flow, valid)
    back = read(tmp_path / name)
    assert sorted(zip(*np.nonzero(~back.valid), strict=True)) == [(0, 3), (2, 2), (4, 6)]
    assert (back.flow[~back.valid] == 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:8], "8 bytes, too short for a .flo header"),
        (lambda content: content[:-1], "truncated: 291 bytes, 7 x 5 needs 292"),
        (lambda content: content + b"x", "too long: 293 bytes"),
        (lambda content: b"JUNK" + content[4:], "not a .flo file .starts with b'JUNK'"),
        (lambda content: content[:4] + struct.pack("<ii", -7, 5) + content[12:], "header says -7 x 5"),
        (
            lambda content: content[:4] + struct.pack("<ii", 2**30, 2**30) + content[12:],
            "header says 1073741824 x 1073741824 pixels, expected sides",
        ),
    ],
)
def test_spoiled_flo_is_named(tmp_path, flow, spoil, message):
    path = tmp_path / "spoiled.flo"
    write_flo(path, flow)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FlowsimError, match=rf"spoiled.flo: {message}"):
        read_flo(path)


def test_spoiled_kitti_png_is_named(tmp_path, flow):
    path = tmp_path / "spoiled.png"
    write_kitti_flow(path, flow)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FlowsimError, match=r"spoiled.png: truncated png"):
        read_kitti_flow(path)
    path.write_bytes(b"GIF89a")
    with pytest.raises(FlowsimError, match="not a png file"):
        read_kitti_flow(path)
    cv2.imwrite(str(path), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(FlowsimError, match=r"uint8 of shape \(4, 5, 3\), expected a 16-bit colour png"):
        read_kitti_flow(path)


def test_flow_beyond_kittis_range_is_an_error_and_leaves_no_file(tmp_path, flow):
    flow[0, 0, 0] = 512
    with pytest.raises(FlowsimError, match=r"flow of 512.0 px does not fit KITTI's 16 bits"):
        write_kitti_flow(tmp_path / "a.png", flow)
    assert not list(tmp_path.iterdir())


def test_what_is_no_flow_cannot_be_written(tmp_path, flow):
    with pytest.raises(FlowsimError, match=r"flow has shape \(5, 7\), expected \(h,w,2\)"):
        write_flo(tmp_path / "a.flo", flow[..., 0])
    with pytest.raises(FlowsimError, match=r"valid is float32 of shape"):
        write_flo(tmp_path / "a.flo", flow, flow[..., 0])


@pytest.mark.shared
@pytest.mark.skipif(not CHAIRS.is_dir(), reason=f"no {CHAIRS}")
def test_flying_chairs_can_be_read_and_written_back_byte_for_byte(tmp_path):
    paths = sorted(CHAIRS.rglob("*.flo"))
    assert paths
    for path in paths:
        field = read_flo(path)
        assert field.flow.shape == (384, 512, 2)
        assert field.valid.all()
        write_flo(tmp_path / path.name, field.flow)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
