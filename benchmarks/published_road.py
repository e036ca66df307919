"""From frames to masks as the published code does it: the rival of `benchmarks.commands`.

    python -m benchmarks.published_road --davis DAVIS --raft WEIGHTS --checkpoint NETWORK --output OUT

First RAFT in torchvision's forward pass, in float32 and pair by pair, writes a JPEG of the flow's colours for each
frame. Then image and flow are opened by Pillow, frame after frame, and the network predicts at 512 px with torch's
bicubic interpolation; each mask becomes a PNG. The flow of a last frame is minus that to the frame before. With
`--flows TREE` the pictures of the flow are there already, as TREE/JPEGFlows/480p/<video>.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor
from torchvision.utils import flow_to_image

from benchmarks.network_speed import with_torch_interpolation
from benchmarks.raft import published_procedure
from segmentation.flow.raft_names import DEFAULT_ITERATIONS
from segmentation.network.checkpoint import load_network


def write_flows(frames: list[Path], folder: Path, weights: str, device: str, iterations: int) -> None:
    """Write the colours of the flow of each frame of a video."""
    folder.mkdir(parents=True)
    estimate = published_procedure(weights, device, iterations)
    for number, path in enumerate(frames):
        is_last = number == len(frames) - 1
        other = frames[number - 1 if is_last else number + 1]
        pair = np.stack([np.asarray(Image.open(one).convert("RGB")) for one in (path, other)])
        flow = torch.from_numpy(estimate(pair)[0]).permute(2, 0, 1)
        colors = flow_to_image(-flow if is_last else flow).permute(1, 2, 0).numpy()
        Image.fromarray(colors).save(folder / f"{path.stem}.jpg", quality=95)


@torch.no_grad()
def write_masks(frames: list[Path], flows: Path, folder: Path, network: torch.nn.Module, device: str) -> None:
    """Write the mask of each frame of a video."""
    folder.mkdir(parents=True)
    for path in frames:
        image, colors = (
            to_tensor(Image.open(one).convert("RGB"))[None].to(device) for one in (path, flows / f"{path.stem}.jpg")
        )
        mask = network(image, colors)[0].argmax(0).to(torch.uint8).cpu().numpy()
        Image.fromarray(mask * np.uint8(255)).save(folder / f"{path.stem}.png")


def main() -> None:
    """Take all videos of a DAVIS tree from frames to masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True)
    flow = parser.add_mutually_exclusive_group(required=True)
    flow.add_argument("--raft")
    flow.add_argument("--flows", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=DEFAULT_ITERATIONS)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    videos = sorted((given.davis / "JPEGImages/480p").iterdir())
    flows = given.output / "flows" if given.raft else given.flows / "JPEGFlows/480p"
    if given.raft:
        for video in videos:
            write_flows(sorted(video.iterdir()), flows / video.name, given.raft, device, given.iterations)
    network = load_network(given.checkpoint).to(device).eval()

    def work() -> None:
        for video in videos:
            write_masks(
                sorted(video.iterdir()), flows / video.name, given.output / "masks" / video.name, network, device
            )

    with_torch_interpolation(work)()


if __name__ == "__main__":
    main()
