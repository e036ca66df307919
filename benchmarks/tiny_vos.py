"""The network that is part of the package: packed from a training, and scored beside a threshold on the flow.

    python -m benchmarks.tiny_vos --pack runs/small
    python -m benchmarks.tiny_vos --videos "val, RAFT=DAVIS:davis-flows.zarr" --videos "val, DIS=DAVIS:davis-dis.zarr"

`--pack` stores the best network of a run in segmentation/tiny_vos, as float16. `--videos` scores it by the protocol of
DAVIS-2016 (J and F, first and last frames left out) on the split "val" of a folder, at the size of its frames, with
flow of `segmentation flows`. Scores go to benchmarks/results/tiny_vos.json, predictions of the first folder to
tiny_vos_predictions.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.ablation import judge
from benchmarks.ablation_data import open_frames
from benchmarks.baselines import score_baselines
from benchmarks.record import RESULTS, write
from segmentation.flow.weight_downloads import sha256_of
from segmentation.network.checkpoint import load_network, save_network
from segmentation.network.network_files import CONFIG_FILE, EMBEDDED_NETWORK, WEIGHTS_FILE, find_network
from segmentation.training.pictures import draw_predictions


def pack(run: Path, folder: Path, side_px: int | None) -> None:
    """Store a network as float16.

    What its training recorded stays beside it, except for places on this machine.

    Args:
        run: run of `segmentation train`, or folder of a network.
        folder: folder to write.
        side_px: side of the square that the network sees from now on; None = as it was trained.
    """
    about = json.loads((find_network(run) / CONFIG_FILE).read_text())["about"]
    settings = about.get("settings", {})
    for name in ("data", "videos"):
        settings[name] = [str(place).rpartition("/")[2] for place in settings.get(name, ())]
    settings["initialization"] = Path(settings.get("initialization", "")).name
    settings["fingerprints"] = {Path(place).name: value for place, value in settings.get("fingerprints", {}).items()}
    save_network(load_network(run, side_px=side_px).half(), folder, about)


def main() -> None:
    """Pack, or score and write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, help="run of `segmentation train`, or folder of a network")
    parser.add_argument("--network", type=Path, default=Path(EMBEDDED_NETWORK))
    parser.add_argument("--side-px", type=int, help="side of the square that the network sees, if not as trained")
    parser.add_argument("--videos", action="append", default=[], metavar="NAME=ROOT:FLOWS")
    arguments = parser.parse_args()
    if arguments.pack is not None:
        pack(arguments.pack, find_network(Path(EMBEDDED_NETWORK)), arguments.side_px)
    if not arguments.videos:
        return
    network = load_network(arguments.network, side_px=arguments.side_px)
    weights = find_network(arguments.network) / WEIGHTS_FILE
    figures: dict[str, object] = {
        "network": arguments.network.name,
        "side_px": network.side_px,
        "encoder": network.encoder_name,
        "decoder_width": network.decoder_width,
        "megabytes": round(weights.stat().st_size / 1e6, 2),
        "weights_sha256": sha256_of(weights),
    }
    for place, text in enumerate(arguments.videos):
        name, _, places = text.partition("=")
        root, flows = places.split(":")
        validation = open_frames(Path(root), flows, "val")
        figures[name] = {
            "frames": validation.samples,
            "network": judge(network, validation, "cpu"),
            "baselines": score_baselines(validation),
        }
        if place == 0:
            picture = RESULTS / "tiny_vos_predictions.png"
            draw_predictions(network, validation, picture, device="cpu", precision="float32")
    print(json.dumps(figures, indent=1))
    print(write("tiny_vos", figures))


if __name__ == "__main__":
    main()
