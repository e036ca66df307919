"""The numbers in the README, on the page of results and in other pages are those of the JSON files that they cite.

The functions below list the numbers of a section in reading order: as values from JSON files, or as strings for
settings that no JSON file holds.
"""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from benchmarks.ablation import FITTED
from tests.conftest import ROOT

RESULTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "benchmarks/results").glob("*.json")}
NUMBER = re.compile(r"(?<![\w.,/-])\d(?:[\d,]*\d)?(?:\.\d+)?(?![\w/])")
Figures = list[float | str]
SCALE = "docs/explanation/scale.md"
VIDEOS_OF_TINY_VOS = ("held-out, RAFT", "held-out, DIS", "val, RAFT", "val, DIS")


def section(heading: str, file: str = "README.md", end: str = "\n## ") -> str:
    """Return a section's text without code and without the targets of links."""
    text = (ROOT / file).read_text(encoding="utf-8")
    body = text[text.index(heading) + len(heading) :].partition(end)[0]
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", body)


def middle(ratio: Any) -> float:
    """Return the median of a ratio, whose file may hold that of each round beside it."""
    return float(ratio["median"] if isinstance(ratio, dict) else ratio)


def how_fast() -> Figures:
    made, scaling = RESULTS["pipeline"], RESULTS["scaling"]
    long, short = made["whole_path"]["long"], made["whole_path"]["short"]
    overhead = [scaling["overhead_ms_per_shard"][where]["median"] for where in ("in this process", "2 Ray workers")]
    overhead.append(scaling["overhead_ms_per_shard"]["1 Ray worker"]["median"])
    steps = RESULTS["training_step"]["sides_px"]
    commands, masks = RESULTS["commands"], RESULTS["masks"]
    shards, rivals, sizes = RESULTS["shards"], ("zarr-python", "zarrs"), RESULTS["training_sizes"]
    ten_thousand, million = (sum(v for k, v in one.items() if k.endswith("_mb")) for one in scaling["memory"])
    return [
        long["photos"],
        "400",
        long["photos_per_second"],
        made["ratio_to_network_alone"],
        made["bytes_per_sample"]["all"] / 1000,
        made["random_read_ms"],
        long["photos"],
        short["photos"],
        made["peak_memory_long_over_short"],
        *(one for side, step in steps.items() for one in (side, middle(step["ratio"]))),
        middle(RESULTS["training_loader"]["ratio"]),
        middle(RESULTS["training_loader"]["ratio_to_a_gpu"]),
        middle(RESULTS["raft"]["speed"]["ratio"]),
        middle(RESULTS["raft_gpu"]["speed"]["ratio"]),
        *(middle(commands["times_faster"][name]) for name in ("predict", "evaluate")),
        middle(masks["times_faster"]["evaluate"]),
        middle(RESULTS["depth"]["results"][0]["ratio"]),
        middle(RESULTS["depth_gpu"]["results"][0]["ratio"]),
        middle(RESULTS["flow_kernel"]["flow_cpu"]["camera"]["unproject_transform_project_over_ours"]),
        middle(RESULTS["flow_kernel"]["flow_to_rgb_cpu"]["numpy_over_ours"]),
        middle(RESULTS["frames"]["median_ratio"]["splat2"]),
        middle(RESULTS["frames"]["median_ratio"]["splat"]),
        middle(RESULTS["frames"]["run"]["pairs_over_photos"]),
        *(
            middle(shards[task][f"{rival}_over_ours"])
            for task in ("write_one_shard", "read_all_samples")
            for rival in rivals
        ),
        sizes["side_px"],
        middle(sizes["ratio_to_mit_b0"]["small"]),
        middle(sizes["winograd_over_plain"]),
        middle(RESULTS["metrics"]["DAVIS-2016"]["times faster, arrays"]),
        middle(RESULTS["saliency"]["times faster"]),
        100 * max(step["relative_difference_of_gradients"] for step in steps.values()),
        middle(RESULTS["saliency"]["times faster, without adaptive values"]),
        *(middle(rate) for rate in commands["frames_per_second"].values()),
        *(middle(rate) for rate in masks["frames_per_second"].values()),
        commands["frames"],
        masks["frames"],
        scaling["fixed_work_per_photo"]["2_over_1"]["median"],
        *overhead,
        round(million, 3),
        round(ten_thousand, 3),
    ]


def how_long_one_waits() -> Figures:
    seconds, runtimes = RESULTS["waits"]["seconds"], RESULTS["depth_runtimes"]
    alone, run = runtimes["network_alone_on_one_thread"], runtimes["pipeline_run"]
    shown = ("run on seven photos", "run of a finished dataset", "status", "mistake", "help page")
    return [
        RESULTS["waits"]["load_average"],
        *(seconds[what]["clock"] for what in shown),
        *(alone[name]["torch_over_this"] for name in ("onnxruntime", "openvino")),
        *(run[name]["torch_over_this"] for name in ("onnxruntime", "openvino")),
        *(alone[f"{name} int8"]["torch_over_this"] for name in ("onnxruntime", "openvino")),
        *(alone[f"{name} int8"]["mean_absolute_error"] for name in ("onnxruntime", "openvino")),
    ]


def how_good_estimates_are() -> Figures:
    measured = RESULTS["estimators"]
    figures: Figures = [measured["pairs"], measured["mean_flow_px"], measured["enlarged_to_px"], "3", "3", "3"]
    for name in ("dis", "raft-small"):
        for size in ("as they are", "enlarged"):
            one = measured["estimators"][name][size]
            share = 100 * one["share_above_3_px"]
            figures += [one["mean_error_px"], one["median_error_px"], share, one["seconds_per_pair"]]
    return figures


def how_real() -> Figures:
    realism = RESULTS["realism"]
    presets = ("davis", "camera+object", "camera", "parallax", "depthstillation-style")
    return [
        len(realism["results"]["davis"]["distance"]),
        *(realism["results"][preset]["over_floor"] for preset in presets),
        100 * realism["object_area"]["photos"][1],
        100 * realism["object_area"]["real"][1],
    ]


def told_apart() -> Figures:
    measured = RESULTS["realism_classifier"]
    floor, first = measured["floor"], next(iter(measured["estimated"].values()))
    figures: Figures = [measured["real"]["fields"], measured["real"]["videos"], len(first["importance"]), "1", "0.5"]
    figures += [floor["forest"]["auc"], floor["network"]["auc"]]
    for kind in ("photos", "pairs", "estimated"):
        for one in measured[kind].values():
            figures += [one["fields"], one["forest"]["auc"], one["network"]["auc"]]
    alike = first["forest_at_like_size"]
    figures += [alike["real_fields"], alike["fields"], *(100 * share for share in measured["like_size"])]
    figures += [alike["auc"], alike["as_many"]["auc"], 100 * first["object_area"][1], 100 * measured["object_area"][1]]
    few = [one["forest_of_few"] for one in measured["estimated"].values()]
    return [*figures, *(one["auc"] for one in few), few[-1]["fields"]]


def does_it_help() -> Figures:
    ablation, masks, small = RESULTS["ablation"], RESULTS["ablation_masks"], RESULTS["ablation_small"]
    rows, published = ({row["arm"]: row for row in ablation[kind]} for kind in ("arms", "arms_as_published"))
    best = rows["davis-small"]["larger"]
    means = [100 * held_out(rows[arm])["mean"] for arm in ("videos", "davis-small")]
    figures: Figures = [ablation["learnt_sequences"], *means, -100 * best["val"]["gain"]["mean"]]
    figures += [ablation["samples"], ablation["side_px"], ablation["photos"], "320", ablation["learnt_sequences"]]
    figures += [ablation["larger_px"], "95"]
    for row in rows.values():
        figures.append(100 * row["threshold_J_on_training_samples"])
        both = [row["larger"][judged] for judged in ("held-out", "val")]
        figures += [100 * score for one in both for score in (one["mean"], *one["all"])]
        figures += [figure for one in both if "gain" in one for figure in interval(one["gain"])]
    figures += [100 * ablation["baselines"][judged]["flow threshold"]["J&F"] for judged in ("held-out", "val")]
    for name in ("rollerblade", "paragliding", "boat", "car-shadow"):
        figures += [of_sequence(arm, name) for arm in ("videos", "davis-small")]
    figures.append("95")
    figures += [one for row in ablation["answers"] for judged in ("held-out", "val") for one in interval(row[judged])]
    for row in masks["arms"]:
        for kind in ("moving_background", "still_object"):
            figures += [100 * row[judged][kind] for judged in ("held-out", "val")]
    of_seed = [
        dict(zip(one["davis"]["seeds"], held_out(one["davis"])["all"], strict=True)) for one in (published, rows)
    ]
    failed = min(of_seed[0], key=of_seed[0].__getitem__)
    figures += [100 * one[failed] for one in of_seed]
    figures += [small["steps"], small["recipe"]["batch_size"], small["side_px"]]
    of_arm = {row["arm"]: 100 * row["mean"] for row in small["arms"]}
    figures += [of_arm[name] for name in ("videos", "zero", "parallax", "camera", "davis")]
    return [*figures, 100 * small["baselines"]["flow threshold"]["J&F"], "30"]


def interval(gain: dict[str, float]) -> list[float]:
    """Return a gain and its interval in points, without their signs."""
    return [abs(100 * gain[name]) for name in ("mean", "low", "high")]


def of_sequence(arm: str, name: str) -> float:
    """Return the mean score of an arm's networks on a sequence, in %."""
    runs = [json.loads(line) for line in (ROOT / "benchmarks/results/ablation_runs.jsonl").read_text().splitlines()]
    chosen = [one["larger"] for one in runs if one["arm"] == arm and one["first_weights"] == FITTED]
    found = [scores["sequences"][name] for one in chosen for scores in one.values() if name in scores["sequences"]]
    return 100 * sum(found) / len(found)


def held_out(row: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of an arm on the held-out sequences."""
    scores: dict[str, Any] = row["larger"]["held-out"]
    return scores


def front_page() -> Figures:
    ablation = RESULTS["ablation"]
    rows = {row["arm"]: row["larger"] for row in ablation["arms"]}
    figures: Figures = [ablation["samples"], ablation["learnt_sequences"], ablation["larger_px"]]
    for arm in ("videos", "zero", "parallax", "davis", "davis-small", "photos"):
        figures += [100 * rows[arm][judged]["mean"] for judged in ("held-out", "val")]
    figures += [100 * ablation["baselines"][judged]["flow threshold"]["J&F"] for judged in ("held-out", "val")]
    included = RESULTS["tiny_vos"]
    figures += ["20", *(100 * included[judged]["network"]["J&F"] for judged in ("held-out, RAFT", "val, RAFT"))]
    return figures


def included_network() -> Figures:
    measured = RESULTS["tiny_vos"]
    figures: Figures = [measured["side_px"], measured["megabytes"], "20"]
    for videos in VIDEOS_OF_TINY_VOS:
        baselines = measured[videos]["baselines"]
        figures += [100 * measured[videos]["network"]["J&F"], 100 * baselines["flow threshold"]["J&F"]]
        figures += [100 * baselines["all object"]["J&F"]]
    reduced = RESULTS["mask_precision"]
    figures += [reduced["frames"], reduced["changed_pixels_percent"]["mean"]]
    return [*figures, reduced["lost_j_percent_points"]["mean"], reduced["lost_j_percent_points"]["largest"]]


def real_motion() -> Figures:
    medians = RESULTS["realism"]["quantiles_10_50_90"]
    ratios = [medians[name]["axis_ratio"][1] for name in ("real", "parallax", "davis")]
    return [*ratios, medians["real"]["object_share"][1]]


def does_it_train_flow() -> Figures:
    measured = RESULTS["flow_training"]
    settings, pairs, epe = measured["settings"], measured["pairs_scored"], measured["epe_px"]
    figures: Figures = [settings["steps"], settings["batch_size"], measured["photos"]["trained_on"]]
    figures += [pairs["davis"], pairs["chairs"], measured["minutes"]]
    for kind, length in measured["mean_flow_px"].items():
        shown = ("all",) if kind == "chairs" else ("visible", "all")
        figures += [length, *(epe[side][0][kind][part] for side in ("before", "ours", "splat") for part in shown)]
    return figures


def steadiness() -> Figures:
    measured = RESULTS["steadiness"]
    medians = [measured["median"][part][name] for part in ("camera", "object") for name in ("persistence", "spread")]
    return [measured["videos"], *medians]


def tiny_dpt() -> Figures:
    measured = RESULTS["tiny_dpt"]
    nearer = [100 * measured[name] for name in ("object_nearer", "object_nearer_teacher")]
    return [measured["median_spearman_with_teacher"], *nearer]


def storage() -> Figures:
    measured = RESULTS["storage"]
    return [measured["pair_over_photo"], measured["mb_per_pair"], measured["mb_per_photo"]]


def scale_parts() -> Figures:
    measured, assumed = RESULTS["scale"]["measured"], RESULTS["scale"]["assumed"]
    return [*measured.values(), *assumed.values()]


def scale_sizes() -> Figures:
    computed = RESULTS["scale"]
    return [*(value for row in computed["sizes"] for value in row.values()), computed["largest_folder"]]


def scale_courses() -> Figures:
    return [*(value for row in RESULTS["scale"]["courses"] for value in row.values()), "100"]


def scale_simulated() -> Figures:
    simulated = RESULTS["simulation"]
    courses, lives = simulated["courses"], simulated["mean_life_in_runs"]
    assert all(course["each_photo_once"] for course in courses)
    figures: Figures = [simulated["photos"], simulated["shards"], simulated["workers"], "8", "8"]
    figures += [lives["of a worker"], lives["of a machine"]]
    figures += [simulated["slow"]["workers"], simulated["slow"]["times_slower"]]
    figures += [simulated["hanging"]["tasks"], simulated["hanging"]["times_longer"]]
    for course in courses:
        figures += [course["workers_lost"], course["shards_given_again"], course["time_over_even"]]
    return [*figures, max(course["running_adds_mb"] for course in courses)]


def without_images() -> Figures:
    sizes, reading = RESULTS["without_images"]["sizes"], RESULTS["without_images"]["reading"]
    times = [reading[kind][name] for kind in ("training", "pairs") for name in ("with_images_ms", "without_images_ms")]
    return [
        sizes["photos"],
        str(sizes["side"]),
        sizes["with_images_gb"],
        sizes["without_images_gb"],
        sizes["recipe_mb"],
        sizes["recipe_bytes_per_photo"],
        *times[:2],
        reading["training"]["ratio"],
        *times[2:],
        reading["pairs"]["ratio"],
    ]


SECTIONS: dict[str, tuple[str, Any]] = {
    "Results": (section("\n## Results"), front_page),
    "How fast": (section("\n## How fast", "docs/results.md"), how_fast),
    "How long a user waits": (section("\n## How long a user waits", "docs/results.md"), how_long_one_waits),
    "How good estimated flow is": (
        section("\n## How good estimated flow is", "docs/results.md"),
        how_good_estimates_are,
    ),
    "How real": (section("\n## How real", "docs/results.md"), how_real),
    "Told apart": (section("\n## Can it be told apart", "docs/results.md"), told_apart),
    "Does it help": (section("\n## Does it help", "docs/results.md"), does_it_help),
    "Included network": (section("\n## How good is the included network", "docs/results.md"), included_network),
    "Does it train flow": (section("\n## Does it train flow", "docs/results.md"), does_it_train_flow),
    "Motion": (section("\n### How real motion differs", "docs/explanation/method.md"), real_motion),
    "Steadiness": (section("\n### How steady real motion is", "docs/explanation/method.md"), steadiness),
    "Storage": (section("\nA pair takes", "docs/reference/data-format.md"), storage),
    "Scale, parts": (section("\n## What is measured", SCALE), scale_parts),
    "Scale, sizes": (section("\n## Room and memory", SCALE), scale_sizes),
    "Scale, courses": (section("\n## Time", SCALE), scale_courses),
    "Scale, simulation": (section("\n## The engine in simulation", SCALE), scale_simulated),
    "Without images": (section("\n## Size and cost", "docs/howto/recipe.md"), without_images),
    "tiny-dpt": (section("- **Measured**", "depth/tiny_dpt/README.md", "\n- "), tiny_dpt),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_numbers_are_those_of_the_results(name: str) -> None:
    text, figures = SECTIONS[name]
    found = NUMBER.findall(text)
    wanted = figures()
    shown = [as_written(value, said) for value, said in zip(wanted, found, strict=False)]
    assert found == [*shown, *wanted[len(found) :]]


def test_gains_have_their_signs() -> None:
    ablation = RESULTS["ablation"]
    rows = [*(row["larger"] for row in ablation["arms"] if row["arm"] != "videos"), *ablation["answers"]]
    gains = [row[judged].get("gain", row[judged]) for row in rows for judged in ("held-out", "val")]
    found = re.findall(r"(−?)[\d.]+ \((−?)[\d.]+ to (−?)[\d.]+\)", section("\n## Does it help", "docs/results.md"))
    assert found == [tuple("−" if gain[end] < 0 else "" for end in ("mean", "low", "high")) for gain in gains]


def as_written(value: float | str, said: str) -> str:
    """Return a figure rounded to as many decimals as the text has."""
    if isinstance(value, str):
        return value
    step = Decimal(1).scaleb(-len(said.partition(".")[2]))
    return f"{Decimal(str(value)).quantize(step, ROUND_HALF_UP):,}"


def test_cited_files_exist() -> None:
    pages = ("README.md", "docs/results.md", "docs/explanation/method.md", SCALE, "docs/howto/recipe.md")
    for file in (*pages, "depth/tiny_dpt/README.md"):
        text = (ROOT / file).read_text(encoding="utf-8")
        for cited in re.findall(r"benchmarks/results/[\w.]+\w", text):
            assert (ROOT / cited).is_file(), cited
