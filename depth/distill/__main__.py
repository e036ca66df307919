"""The command `python -m depth.distill`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import cv2
import numpy as np

from depth.distill.examples import Example, find_examples, hold_out, photos_in, read_photo
from depth.distill.training import Recipe, Training
from depth.distill.whole_files import save_whole
from depth.errors import DepthError
from depth.model_files import EMBEDDED_FOLDER
from depth.weights import EMBEDDED_MODEL


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m depth.distill", description="Distil a depth network into a small one."
    )
    add_data_options(parser)
    add_training_options(parser)
    return parser.parse_args()


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about photos, masks, the teacher and the output."""
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder of photos; repeatable")
    parser.add_argument(
        "--masks", type=Path, action="append", help="folder of masks <stem>.png; once for each --photos"
    )
    parser.add_argument(
        "--teacher", help="depth model: hub id, folder or checkpoint; its depth maps are kept in --output"
    )
    parser.add_argument(
        "--teacher-depth",
        type=Path,
        action="append",
        help="folder of teacher depth <stem>.png, in place of --teacher; once for each --photos",
    )
    parser.add_argument(
        "--teacher-meaning",
        choices=("depth", "inverse-depth"),
        default=Recipe.meaning,
        help="meaning of the values in --teacher-depth (default %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="device that the teacher runs on (default %(default)s)")
    parser.add_argument(
        "--hold-out",
        type=int,
        default=300,
        help="number of photos of the first folder kept for evaluation (default %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the student, which can be given to --depth-model"
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about the student and its training."""
    recipe = Recipe()
    stages = ",".join(
        f"{first}x{epochs}" if first == last else f"{first}-{last}x{epochs}" for first, last, epochs in recipe.stages
    )
    parser.add_argument(
        "--stages",
        default=stages,
        type=read_stages,
        help="stages SIDExEPOCHS or SMALLEST-LARGESTxEPOCHS, sides in pixels (default %(default)s)",
    )
    parser.add_argument("--encoder", default=recipe.encoder, help="timm backbone (default %(default)s)")
    parser.add_argument(
        "--width", type=int, default=recipe.width, help="number of channels of the head (default %(default)s)"
    )
    parser.add_argument(
        "--start-from",
        type=student_folder,
        help="start from the weights of a student's folder or of tiny-dpt, not from random ones",
    )
    parser.add_argument("--batch", type=int, default=recipe.batch, help="photos per step (default %(default)s)")
    parser.add_argument(
        "--learning-rate", type=float, default=recipe.learning_rate, help="peak learning rate (default %(default)s)"
    )
    parser.add_argument(
        "--loaders", type=int, default=recipe.loaders, help="number of processes that read photos (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=recipe.seed, help="seed of all random draws (default %(default)s)")


def read_stages(text: str) -> tuple[tuple[int, int, int], ...]:
    """Parse stages of training such as `96x5,160-256x2` into (smallest side, largest side, epochs) each."""
    stages = []
    for stage in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?x(\d+)", stage)
        if match is None or any(int(side) % 32 for side in match.groups()[:2] if side):
            raise argparse.ArgumentTypeError(
                f"{stage!r}; expected a stage such as 96x5 or 160-256x2 with sides that are multiples of 32"
            )
        first, last, epochs = match.groups()
        stages.append((int(first), int(last or first), int(epochs)))
    return tuple(stages)


def student_folder(name: str) -> Path:
    """Return the folder of a student; the name of the embedded model stands for its folder."""
    return EMBEDDED_FOLDER if name == EMBEDDED_MODEL else Path(name)


def teacher_folders(arguments: argparse.Namespace) -> list[Path]:
    """Return one folder of teacher depth for each folder of photos; with --teacher, compute the missing depth maps.

    Raises:
        DepthError: neither or both of --teacher and --teacher-depth are given, or not one folder for each --photos.
    """
    if bool(arguments.teacher) == bool(arguments.teacher_depth):
        raise DepthError("Give either --teacher MODEL or --teacher-depth FOLDER.")
    if arguments.teacher_depth:
        if len(arguments.teacher_depth) != len(arguments.photos):
            raise DepthError("Give --teacher-depth once for each --photos, in the same order.")
        return list(arguments.teacher_depth)
    from depth import DepthEstimator

    estimator = DepthEstimator.load(arguments.teacher, device=arguments.device)
    folders = []
    for number, photos in enumerate(arguments.photos):
        folder = arguments.output / f"teacher-depth-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        todo = [photo for photo in photos_in(photos) if not (folder / f"{photo.stem}.png").exists()]
        for start in range(0, len(todo), 32):
            some = todo[start : start + 32]
            for photo, inverse_depth in zip(some, estimator([read_photo(p) for p in some]), strict=True):
                encoded = cv2.imencode(".png", np.rint(np.nan_to_num(inverse_depth) * 65535).astype(np.uint16))[1]
                save_whole(folder / f"{photo.stem}.png", encoded.tofile)
            print(f"\rteacher: {start + len(some)}/{len(todo)} photos ", end="", file=sys.stderr, flush=True)
        folders.append(folder)
    return folders


def main() -> None:
    """Find the examples, hold some of them out, and train on the others."""
    arguments = parse()
    masks = arguments.masks or [None] * len(arguments.photos)
    if len(masks) != len(arguments.photos):
        raise DepthError("Give --masks once for each --photos, in the same order.")
    folders = zip(arguments.photos, teacher_folders(arguments), masks, strict=True)
    sources: list[list[Example]] = [find_examples(*folder) for folder in folders]
    held_out = hold_out(sources[0], arguments.hold_out)
    kept = set(held_out)
    examples = [example for source in sources for example in source if example not in kept]
    print(f"{len(examples)} photos to learn from, {len(held_out)} held out")
    recipe = Recipe(
        stages=arguments.stages,
        encoder=arguments.encoder,
        width=arguments.width,
        meaning="inverse-depth" if arguments.teacher else arguments.teacher_meaning,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        loaders=arguments.loaders,
        seed=arguments.seed,
        start_from=arguments.start_from,
    )
    Training(recipe, examples, held_out, arguments.output).run()


if __name__ == "__main__":
    try:
        main()
    except DepthError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command again to continue after the last finished epoch.")
