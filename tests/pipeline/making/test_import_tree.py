"""`pipeline import`: ready-made flow pictures become a dataset, up to scale."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

from flowsim import distance, flow_to_rgb, measure_flow
from pipeline.commands import app
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.errors import InputError, PipelineError
from pipeline.making.config import ImportSettings
from pipeline.making.import_tree import SAMPLES_PER_SHARD, import_tree
from pipeline.sharing.export import export_tree
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import DatasetError
from tests.conftest import draw_duts, draw_scene, write_png
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.making.test_run import Watcher
from tests.pipeline.sharing.test_export import make
from tests.segmentation.whole_epochs import epoch_of

LONGEST_PX = 16.0
SETTINGS = ImportSettings(max_side=96, longest_px=LONGEST_PX)


def flow_of(store: DatasetStore, row: int) -> np.ndarray:
    height, width = store.read("size", row)
    return schema.decode_flow(store.read("flow", row)[0, :height, :width])


def mask_of(store: DatasetStore, row: int) -> np.ndarray:
    height, width = store.read("size", row)
    return store.read("mask", row)[:height, :width] > 0


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a simulated dataset, its exported tree, and the dataset imported from that."""
    folder = tmp_path_factory.mktemp("import")
    store = make(draw_duts(folder / "DUTS", 5), folder / "simulated.zarr")
    export_tree(store, folder / "tree", Watcher())
    import_tree(str(folder / "tree"), str(folder / "imported.zarr"), SETTINGS, Watcher())
    return folder


@pytest.fixture
def imported(made_once: Path) -> DatasetStore:
    return DatasetStore.open(str(made_once / "imported.zarr"))


def draw_tree(root: Path, flows: dict[str, np.ndarray]) -> Path:
    """Write a tree of drawn scenes with the given flow pictures (png, RGB)."""
    for number, (name, colours) in enumerate(flows.items()):
        photo, mask = draw_scene(number)
        write_png(root / f"JPEGImages/{name}.png", photo)
        write_png(root / f"Annotations/{name}.png", mask)
        write_png(root / f"JPEGFlows/{name}.png", colours)
    return root


def test_direction_and_relative_length_survive_the_pictures(made_once: Path, imported: DatasetStore) -> None:
    simulated = DatasetStore.open(str(made_once / "simulated.zarr"))
    assert list(imported.read("id", slice(None))) == list(simulated.read("id", slice(None)))
    fields: dict[str, list[object]] = {"before": [], "after": []}
    for row in range(5):
        before, after = flow_of(simulated, row), flow_of(imported, row)
        length = np.hypot(before[..., 0], before[..., 1])
        relative = length / length.max()
        product = (before[..., 0] + 1j * before[..., 1]) * (after[..., 0] - 1j * after[..., 1])
        turned_deg = np.abs(np.degrees(np.angle(product)))[relative > 0.2]
        assert np.median(turned_deg) < 2
        assert np.percentile(turned_deg, 95) < 8
        error = np.hypot(after[..., 0], after[..., 1]) / LONGEST_PX - relative
        assert np.percentile(np.abs(error), 95) < 0.04
        mask = mask_of(imported, row)
        np.testing.assert_array_equal(mask, mask_of(simulated, row))
        fields["before"].append(measure_flow(before, mask))
        fields["after"].append(measure_flow(after, mask, np.isfinite(after[..., 0])))
    apart = distance(fields["before"], fields["after"])  # type: ignore[arg-type]
    for name in ("relative_p10", "relative_p50", "relative_p90", "coherence", "object_share", "auc", "angles"):
        assert apart[name] < 0.03, name


def test_dataset_says_that_length_is_relative_and_has_no_depth(imported: DatasetStore) -> None:
    assert "direction and relative length alone" in imported.attributes["flow"]
    opened = xarray.open_zarr(imported.url)
    assert "the longest vector of each picture has 16 px" in opened["flow"].attrs["description"]
    assert "inverse_depth" not in opened
    assert "motion" not in opened
    assert float(np.abs(opened["flow"]).max()) == pytest.approx(LONGEST_PX, rel=0.05)


def test_it_can_be_trained_on_but_not_with_fresh_motions(imported: DatasetStore) -> None:
    triplets = {triplet.id: triplet for triplet in epoch_of(ShardDataset(imported.url))}
    assert len(triplets) == 5
    np.testing.assert_array_equal(triplets["scene_002"].flow_px.numpy(), flow_of(imported, 2))
    for name, triplet in triplets.items():
        written = cv2.imread(str(Path(imported.url).parent / f"tree/JPEGFlows/{name}.jpg"))[..., ::-1]
        assert triplet.flow_rgb is not None
        np.testing.assert_array_equal(triplet.flow_rgb, written)
    with pytest.raises(DatasetError, match="no depth, so no fresh motion"):
        ShardDataset(imported.url, flow="fresh")


def test_other_commands_read_it(imported: DatasetStore, tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["status", imported.url], catch_exceptions=False).output
    assert "5 usable" in printed
    assert "relative length alone" in printed
    CliRunner().invoke(app, ["preview", imported.url, "--output", str(tmp_path / "sheet.png")], catch_exceptions=False)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == pytest.approx(3 * 226, abs=10)
    published = str(tmp_path / "published")
    for command in (["verify", "--all", imported.url], ["publish", imported.url, published], ["verify", published]):
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    for text in (
        (tmp_path / "published/README.md").read_text(),
        CliRunner().invoke(app, ["info", published], catch_exceptions=False).output,
    ):
        assert "relative length" in text
        assert "seed" not in text


def test_pictures_of_other_sizes_are_stretched_and_black_is_unknown(tmp_path: Path) -> None:
    right = np.zeros((150, 150, 2), np.float32)
    right[..., 0] = np.linspace(0.2, 1, 150)
    colours = flow_to_rgb(right)
    colours[:75] = 0
    root = draw_tree(tmp_path / "tree", {"square": colours})
    import_tree(str(root), str(tmp_path / "out.zarr"), SETTINGS, Watcher())
    flow = flow_of(DatasetStore.open(str(tmp_path / "out.zarr")), 0)
    assert flow.shape == (72, 96, 2)
    (sample,) = epoch_of(ShardDataset(str(tmp_path / "out.zarr")))
    assert sample.flow_rgb is not None
    np.testing.assert_array_equal(sample.flow_rgb, cv2.resize(colours, (96, 72), interpolation=cv2.INTER_AREA))
    assert np.isnan(flow[:35]).all()
    np.testing.assert_allclose(flow[40:, :, 0], LONGEST_PX * np.linspace(0.2, 1, 96)[None].repeat(32, 0), atol=0.3)
    np.testing.assert_allclose(flow[40:, :, 1], 0, atol=0.1)


@pytest.mark.parametrize("size", [(108, 144), (45, 60), (72, 96)])
def test_no_vector_is_a_mixture_with_unknown_ones(tmp_path: Path, size: tuple[int, int]) -> None:
    right = np.zeros((*size, 2), np.float32)
    right[..., 0] = 1
    colours = flow_to_rgb(right)
    first = size[0] // 2 + 1
    colours[:first] = 0
    root = draw_tree(tmp_path / "tree", {"half": colours})
    import_tree(str(root), str(tmp_path / "out.zarr"), SETTINGS, Watcher())
    flow = flow_of(DatasetStore.open(str(tmp_path / "out.zarr")), 0)
    known = np.isfinite(flow).all(-1)
    np.testing.assert_allclose(flow[known][:, 0], LONGEST_PX, atol=0.3)
    share = 1 - first / size[0]
    assert share - 2 / 72 <= known.mean() <= share


def test_failures_name_the_row_of_the_whole_dataset(tmp_path: Path) -> None:
    colours = flow_to_rgb(np.full((72, 96, 2), 3, np.float32))
    root = draw_tree(tmp_path / "tree", {f"{number:03d}": colours for number in range(SAMPLES_PER_SHARD + 2)})
    (root / "JPEGFlows/065.png").write_bytes(b"")
    import_tree(str(root), str(tmp_path / "out.zarr"), SETTINGS, Watcher())
    store = DatasetStore.open(str(tmp_path / "out.zarr"))
    assert [(failure.row, failure.id) for failure in store.failures()] == [(65, "065")]
    assert np.flatnonzero(store.read("status", slice(None)) != schema.USABLE).tolist() == [65]


def test_damaged_flow_is_listed_repaired_and_tried_again(tmp_path: Path) -> None:
    colours = flow_to_rgb(np.full((72, 96, 2), 3, np.float32))
    root = draw_tree(tmp_path / "tree", {"a": colours, "b": colours})
    intact = (root / "JPEGFlows/b.png").read_bytes()
    (root / "JPEGFlows/b.png").write_bytes(intact[: len(intact) // 2])
    command = ["import", str(root), str(tmp_path / "out.zarr"), "--max-side", "96"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 3
    assert "1 of 2 photos usable" in done.output
    assert "1 failed: flow_truncated" in done.output
    (root / "JPEGFlows/b.png").write_bytes(intact)
    assert CliRunner().invoke(app, command).exit_code == 3
    done = CliRunner().invoke(app, [*command, "--retry-failed"])
    assert done.exit_code == 0
    assert "2 of 2 photos usable" in done.output
    import_tree(str(root), str(tmp_path / "fresh.zarr"), ImportSettings(max_side=96), Watcher())
    assert contents(tmp_path / "out.zarr") == contents(tmp_path / "fresh.zarr")


def test_same_command_resumes_and_other_settings_are_refused(made_once: Path, tmp_path: Path) -> None:
    tree, output = str(made_once / "tree"), tmp_path / "out.zarr"
    import_tree(tree, str(output), SETTINGS, Watcher())
    before = contents(output)
    (output / ".fakeflow/commits/000000.json").unlink()
    assert import_tree(tree, str(output), SETTINGS, Watcher()).photos_made_now == 5
    assert contents(output) == before
    assert import_tree(tree, str(output), SETTINGS, Watcher()).photos_made_now == 0
    with pytest.raises(PipelineError, match=r"longest_px: 16\.0 -> 20\.0"):
        import_tree(tree, str(output), ImportSettings(max_side=96), Watcher())


def test_missing_flow_is_said_before_anything_is_written(tmp_path: Path) -> None:
    colours = flow_to_rgb(np.ones((72, 96, 2), np.float32))
    root = draw_tree(tmp_path / "tree", {"a": colours, "b": colours})
    (root / "JPEGFlows/a.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 photos have no flow picture: a; expected one of the same name"):
        import_tree(str(root), str(tmp_path / "out.zarr"), SETTINGS, Watcher())
    assert not (tmp_path / "out.zarr").exists()


def test_a_tree_without_flow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="are the input of `pipeline run`"):
        import_tree(str(draw_duts(tmp_path / "DUTS", 2)), str(tmp_path / "out.zarr"), SETTINGS, Watcher())


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(PipelineError, match="--longest is 600; expected at most 511 px"):
        ImportSettings(longest_px=600)
    with pytest.raises(PipelineError, match=r"--longest is 0\.5; expected at least 1"):
        ImportSettings(longest_px=0.5)
    with pytest.raises(PipelineError, match="expected at least 32"):
        ImportSettings(max_side=8)
