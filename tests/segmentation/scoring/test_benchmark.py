"""`segmentation benchmark`: one table of several methods, with what its figures were made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation.errors import DatasetError
from segmentation.videos.datasets import open_dataset
from segmentation.videos.sequence_names import NAMES, other_dataset
from segmentation.videos.table import DATASETS
from tests.conftest import SHARED
from tests.segmentation import slow_measures, trees
from tests.segmentation.commands import Command, refusal
from tests.segmentation.score_command import predict

Table = Callable[..., tuple[int | str | None, dict[str, dict[str, Any]], str]]


@pytest.fixture
def table(segmentation: Command, tmp_path: Path) -> Table:
    """Run the command; return its exit code, the entries of its JSON file by `protocol method`, and its Markdown."""

    def run(*arguments: str) -> tuple[int | str | None, dict[str, dict[str, Any]], str]:
        code, _ = segmentation("benchmark", *arguments, "--output", tmp_path / "table")
        if not (tmp_path / "table/benchmark.json").exists():
            return code, {}, ""
        entries = json.loads((tmp_path / "table/benchmark.json").read_text())["entries"]
        named = {f"{entry['protocol']} {entry['method']}": entry for entry in entries}
        return code, named, (tmp_path / "table/benchmark.md").read_text()

    return run


def line(markdown: str, method: str) -> list[str]:
    """Return the cells of a method in the first table row that names it."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in markdown.splitlines() if row[:1] == "|"]
    return next(row for row in rows if row[1] == method)


def test_methods_are_ordered_by_score_with_their_provenance(davis: Path, tmp_path: Path, table: Table) -> None:
    predict(tmp_path / "near", "libby", dict.fromkeys(range(6), 3))
    predict(tmp_path / "ours/davis16", "libby", dict.fromkeys(range(6), 2))
    (tmp_path / "ours/davis16/settings.json").write_text('{"flow": "RAFT large, 12 iterations"}')
    code, entries, markdown = table(
        f"near={tmp_path / 'near'}", f"ours={tmp_path / 'ours'}", "--dataset", f"davis16={davis}"
    )
    assert code == 0
    assert markdown.index("| ours |") < markdown.index("| near |")
    assert line(markdown, "ours")[2:9] == ["100.0", "100.0", "100.0", "1", "4", "0", "RAFT large, 12 iterations"]
    region = slow_measures.region_similarity(trees.square(3), trees.square(2))
    assert line(markdown, "near")[2] == f"{100 * region:.1f}"
    assert line(markdown, "near")[5:9] == ["1", "4", "0", "not stated"]
    assert entries["davis16 near"]["scores"]["mean"]["J"]["mean"] == pytest.approx(region)
    assert "davis16: the dataset at hand has 1 of the usual 20 sequences" in markdown
    assert "J, F and J&F are means" in markdown
    for words in ("DAVIS-2016 val", "all annotated frames but the first and the last", "Grey levels from 128 on"):
        assert words in markdown
        assert words in (tmp_path / "table/benchmark.html").read_text()


def test_protocols_and_datasets_are_told_apart(davis: Path, tmp_path: Path, table: Table) -> None:
    trees.fbms_preprocessed(tmp_path / "FBMS")
    predict(tmp_path / "all/davis16", "libby", {0: 9, 1: 2, 2: 2, 3: 2, 4: 2, 5: 9})
    predict(tmp_path / "all/fbms", "camel01", {1: 0, 6: 0})
    datasets = [f"davis16={davis}", f"davis16-all-frames={davis}", f"fbms={tmp_path / 'FBMS'}"]
    code, entries, markdown = table(f"all={tmp_path / 'all'}", *(word for d in datasets for word in ("--dataset", d)))
    assert code == 0
    assert [entries[f"{name} all"]["frames"] for name in ("davis16", "davis16-all-frames", "fbms")] == [4, 6, 2]
    assert entries["davis16 all"]["scores"]["mean"]["J"]["mean"] == 1
    assert entries["davis16-all-frames all"]["scores"]["mean"]["J"]["mean"] < 1
    assert markdown.count("| all |") == 3
    assert "F" not in entries["fbms all"]["scores"]["mean"]


def test_missing_frames_are_counted_and_rank_below_complete_methods(davis: Path, tmp_path: Path, table: Table) -> None:
    predict(tmp_path / "part", "libby", {1: 2, 2: 2})
    predict(tmp_path / "whole", "libby", dict.fromkeys(range(6), 3))
    code, entries, markdown = table(
        f"part={tmp_path / 'part'}", f"whole={tmp_path / 'whole'}", "--dataset", f"davis16={davis}"
    )
    assert code == 0
    assert line(markdown, "part")[2:8] == ["100.0", "100.0", "100.0", "1", "2", "2"]
    assert entries["davis16 part"]["scores"]["missing frames"] == 2
    assert markdown.index("| whole |") < markdown.index("| part |")
    assert "2 of 4 predictions are missing" in markdown
    assert "its figures cannot be compared with those of complete methods" in markdown


def test_a_folder_of_another_dataset_is_named_and_the_others_are_scored(
    davis: Path, tmp_path: Path, table: Table
) -> None:
    trees.fbms_preprocessed(tmp_path / "FBMS")
    predict(tmp_path / "good", "camel01", {1: 0, 6: 0})
    for name in ("blackswan", "camel", "tennis"):  # there is a tennis in both datasets
        predict(tmp_path / "FBMS-59", name, {1: 0})
    code, entries, markdown = table(
        f"good={tmp_path / 'good'}", f"bad={tmp_path / 'FBMS-59'}", "--dataset", f"fbms={tmp_path / 'FBMS'}"
    )
    assert code == 3
    assert "holds masks of DAVIS-2016 (blackswan, camel, tennis), not of FBMS-59" in entries["fbms bad"]["problem"]
    assert line(markdown, "bad")[2:6] == ["not scored", "", "", ""]
    assert entries["fbms good"]["frames"] == 2


def test_a_root_of_another_dataset_is_refused_whatever_its_folders_are_called(tmp_path: Path, table: Table) -> None:
    root = tmp_path / "FBMS-59"
    for video in ("bear", "libby", "tennis"):
        for frame in range(3):
            trees.photo(root / f"JPEGImages/{video}/{frame:05d}.jpg")
            trees.save(root / f"Annotations/{video}/{frame:05d}.png", trees.grey(trees.square(frame)))
    predict(tmp_path / "out", "libby", dict.fromkeys(range(3), 2))
    code, *_ = table(f"a={tmp_path / 'out'}", "--dataset", f"fbms={root}")
    assert "FBMS-59 looks like DAVIS-2016 (--dataset davis16), not like FBMS-59: it holds bear, libby" in refusal(code)
    with pytest.raises(DatasetError, match="looks like DAVIS-2016"):
        open_dataset("fbms", root)


def test_videos_of_another_dataset_that_the_split_does_not_list_do_not_matter(davis: Path) -> None:
    for video in ("birdfall", "cheetah", "worm"):
        trees.photo(davis / f"JPEGImages/480p/{video}/00000.jpg")
        trees.save(davis / f"Annotations/480p/{video}/00000.png", trees.grey(trees.square(0)))
    assert [video.name for video in open_dataset("davis16", davis).videos] == ["libby"]
    (davis / "ImageSets/480p/val.txt").write_text("libby\nbirdfall\ncheetah\n")
    with pytest.raises(DatasetError, match=r"looks like SegTrack-v2 .*: it holds birdfall, cheetah"):
        open_dataset("davis16", davis)


def test_names_that_nobody_knows_are_no_reason_to_refuse(tmp_path: Path) -> None:
    assert other_dataset(["mine", "yours"], "fbms") is None
    assert other_dataset(["tennis"], "fbms") is None
    assert other_dataset(["tennis"], "davis16") is None
    assert other_dataset(["aeroplane/0001"], "davis16") == ("ytobj", ["aeroplane/0001"])
    assert other_dataset(["003234408d"], "lvid") == ("ytvos18", ["003234408d"])
    assert NAMES.keys() == DATASETS.keys()
    assert [len(set(NAMES[name])) for name in ("davis16", "fbms", "segtrackv2", "lvid")] == [50, 59, 14, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["out", "--dataset", "davis16=DAVIS"], "'out' names no method with its folder"),
        (["a=out", "a=out", "--dataset", "davis16=DAVIS"], "two methods are called a"),
        (["a=absent", "--dataset", "davis16=DAVIS"], "the folder absent of a does not exist"),
        (["a=out", "--dataset", "davis16"], "'davis16' names no dataset with its folder"),
        (["a=out", "--dataset", "ytvos18=DAVIS"], "ytvos18 has no protocol"),
        (["a=out", "--dataset", "davis16=DAVIS", "--dataset", "davis16=DAVIS"], "davis16 is given twice"),
        (["a=out", "--dataset", "fbms=DAVIS"], "looks like DAVIS-2016"),
    ],
)
def test_mistakes_are_said_before_anything_is_scored(
    davis: Path, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    predict(tmp_path / "out", "libby", {0: 2})
    assert said in refusal(table(*arguments)[0])
    assert not (tmp_path / "table").exists()


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ((), "a: no folder in .*out is named as a video of the dataset: found no images; expected libby"),
        (
            (0,),
            "a: .*out holds a mask of none of the 4 frames that davis16 scores; expected masks named as libby/00001",
        ),
    ],
)
def test_a_method_without_any_mask_is_refused_before_anything_is_written(
    davis: Path, tmp_path: Path, table: Table, frames: tuple[int, ...], said: str
) -> None:
    predict(tmp_path / "whole", "libby", dict.fromkeys(range(6), 2))
    (tmp_path / "out").mkdir()
    predict(tmp_path / "out", "libby", dict.fromkeys(frames, 2))
    code, *_ = table(f"b={tmp_path / 'whole'}", f"a={tmp_path / 'out'}", "--dataset", f"davis16={davis}")
    assert re.search(said, refusal(code))
    assert not (tmp_path / "table").exists()


def test_a_mask_of_another_size_says_both_sizes_and_the_repair(davis: Path, tmp_path: Path, table: Table) -> None:
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 2))
    trees.save(tmp_path / "out/libby/00002.png", trees.grey(trees.square(2)[:-1]))
    code, entries, _ = table(f"a={tmp_path / 'out'}", "--dataset", f"davis16={davis}")
    assert code == 3
    height, width = trees.square(2).shape
    sentence = f"is {width}x{height - 1}; expected {width}x{height}, the size of its ground truth: save the masks in"
    assert sentence in entries["davis16 a"]["problem"]


def test_paths_are_readable_in_markdown(davis: Path, tmp_path: Path, table: Table) -> None:
    masks = tmp_path / "my_masks" / "_of*a&b_"
    predict(masks, "libby", dict.fromkeys(range(6), 2))
    _, _, markdown = table(f"a={masks}", "--dataset", f"davis16={davis}")
    assert line(markdown, "a")[9].endswith(r"/my_masks/\_of\*a&b\_")
    assert "&#" not in markdown


def test_hostile_names_do_not_break_the_table(davis: Path, tmp_path: Path, table: Table) -> None:
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 2))
    (tmp_path / "out/settings.json").write_text('{"flow": "<script>alert(1)</script> | x"}')
    code, _, markdown = table(f"<b>a|b\n</b>={tmp_path / 'out'}", "--dataset", f"davis16={davis}")
    assert code == 0
    page = (tmp_path / "table/benchmark.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert not re.search(r"(?<!\\)<", markdown)
    rows = [row for row in markdown.splitlines() if row.startswith("| davis16")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [11]


def test_class_means_of_youtube_objects_are_noted(tmp_path: Path, table: Table) -> None:
    trees.ytobj_preprocessed(tmp_path / "YTOBJ")
    for video, shift in (("aeroplane/0001", 0), ("cat/0002", 2), ("cat/0003", 4)):
        for frame in (1, 11, 21):
            trees.save(tmp_path / f"out/{video}/{frame:05d}.png", trees.grey(trees.square(frame % 7 + shift)))
    _, entries, markdown = table(f"a={tmp_path / 'out'}", "--dataset", f"ytobj={tmp_path / 'YTOBJ'}")
    mean = entries["ytobj a"]["scores"]["mean over classes"]["J"]["mean"]
    assert f"a, ytobj: mean over classes J {100 * mean:.1f}" in markdown


@pytest.mark.shared
def test_mtnet_scores_on_davis_what_the_official_evaluation_says(table: Table) -> None:
    official = json.loads((Path(__file__).parents[1] / "reference/davis16_mtnet_scores.json").read_text())
    masks, root = SHARED / "data/MTNet-DAVIS16-predictions", SHARED / "data/DAVIS"
    code, entries, markdown = table(f"MTNet={masks}", "--dataset", f"davis16={root}")
    assert code == 0
    mean = official["mean over sequences"]
    for measure in "JF":
        assert entries["davis16 MTNet"]["scores"]["mean"][measure] == pytest.approx(mean[measure], abs=1e-6)
    region, contour = mean["J"]["mean"], mean["F"]["mean"]
    shown = [f"{100 * value:.1f}" for value in (region, contour, np.mean([region, contour]))]
    assert line(markdown, "MTNet")[2:8] == [*shown, "4", "164", "0"]
