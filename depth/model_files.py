"""Finds the files of a depth network by name, and says what the network is, without loading it.

The embedded model, a hub id, a local folder or an original checkpoint. Importing this module imports no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from depth.errors import DepthError
from depth.weights import (
    DEPTH_ANYTHING_INPUT,
    DPT_INPUT,
    EMBEDDED_MODEL,
    KNOWN_MODELS,
    MEANING_BY_MODEL_TYPE,
    TINY_INPUT,
    InputRule,
    Meaning,
)

EMBEDDED_FOLDER = Path(__file__).parent / "tiny_dpt"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
HUB_TIMEOUT_S = 10
"""The hub counts as unreachable if it does not answer within this time."""
UNKNOWN_LICENCE = "unknown: see the model's card"


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """The files of a depth network, with the facts that are needed to use and to cite it.

    Attributes:
        kind: the code that loads it: `tiny`, `transformers`, or `original` for a checkpoint of isl-org/DPT.
        path: folder of the model, or the checkpoint.
        weights: files of the weights.
        id: name that the network was requested by.
        revision: commit on the hub, or None.
        input: rule for the input.
        meaning: meaning of the output.
        licence: SPDX id, or a hint where to find the licence.
    """

    kind: Literal["tiny", "transformers", "original"]
    path: Path
    weights: tuple[Path, ...]
    id: str
    revision: str | None
    input: InputRule
    meaning: Meaning
    licence: str

    def describe(
        self, *, resize: str = "aspect", normalization: str = "minmax", sha256: str | None = None
    ) -> dict[str, Any]:
        """Return model, weights and processing as JSON values, for the attributes of a dataset.

        Args:
            resize: as of `EstimatorOptions`.
            normalization: as of `EstimatorOptions`.
            sha256: hash of the weights, if it is known already; otherwise their files are read.
        """
        return {
            "model": self.id,
            "revision": self.revision,
            "sha256": sha256 or hash_files(self.weights),
            "output": self.meaning,
            "input": self.input.resized(resize).describe(),
            "normalization": normalization,
            "licence": self.licence,
        }


def describe_by_commit(
    model: str, stored: Mapping[str, Any], *, resize: str, normalization: str
) -> dict[str, Any] | None:
    """Describe a network as `ModelFiles.describe` does, without its files, by a description of an earlier run.

    Args:
        model: name of the network, as for `find_model`.
        stored: the earlier description.
        resize: as of `EstimatorOptions`.
        normalization: as of `EstimatorOptions`.

    Returns:
        The description; None unless both are about one commit of the hub, whose files cannot change.
    """
    known = KNOWN_MODELS.get(model)
    if known is None or known.revision is None or Path(model).exists():
        return None
    if (stored.get("model"), stored.get("revision")) != (known.id, known.revision):
        return None
    files = ModelFiles("transformers", Path(), (), known.id, known.revision, known.input, known.meaning, known.licence)
    return files.describe(resize=resize, normalization=normalization, sha256=stored.get("sha256"))


def is_on_this_machine(model: str) -> bool:
    """Return whether `find_model` finds all files without downloading any."""
    if model == EMBEDDED_MODEL or Path(model).exists():
        return True
    return HUB_ID.fullmatch(model) is not None and _find_in_cache(model, _commit_of(model)) is not None


def find_model(model: str) -> ModelFiles:
    """Find the files of the network that `model` names; download files of the hub that are not on this machine.

    Args:
        model: `tiny-dpt`, a hub id `owner/name`, a folder with config.json and weights, or an isl-org `.pt` file.
            A name that exists on disk takes precedence over a hub id.

    Raises:
        DepthError: the name is unknown, the hub cannot be reached, or the files are incomplete or of no depth network.
    """
    path = Path(model)
    if model == EMBEDDED_MODEL:
        return _find_tiny(EMBEDDED_FOLDER, model)
    if path.is_dir():
        return _find_in_folder(path, model, None)
    if path.is_file():
        return ModelFiles("original", path, (path,), path.name, None, DPT_INPUT, "relative inverse depth", "MIT")
    if HUB_ID.fullmatch(model):
        folder = _download(model, _commit_of(model))
        return _find_in_folder(folder, model, folder.name)
    raise DepthError(
        f"Depth model {model!r} is neither a known name nor an existing file or folder. Known names: "
        f"{', '.join(KNOWN_MODELS)}. Or give any hub id 'owner/name', a folder with config.json and model.safetensors, "
        "or the path of an isl-org checkpoint (.pt)."
    )


def _commit_of(model: str) -> str | None:
    known = KNOWN_MODELS.get(model)
    return known.revision if known else None


def _fetch(model: str, revision: str | None, *weights: str, is_local: bool = False) -> Path:
    """Fetch files of a model from the hub or, with `is_local`, find them in its cache; return their folder."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        model,
        revision=revision,
        allow_patterns=["config.json", "preprocessor_config.json", *weights],
        etag_timeout=HUB_TIMEOUT_S,
        local_files_only=is_local,
    )
    return Path(folder)


def _find_in_cache(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import errors

    try:
        folder = _fetch(model, revision, is_local=True)
    except errors.LocalEntryNotFoundError:
        return None
    return folder if _find_weights(folder) else None


def _download(model: str, revision: str | None) -> Path:
    """Fetch a model's files from the hub or find them in its cache; return their folder, named by the commit."""
    from huggingface_hub import errors

    # A commit cannot change, so the hub need not be asked about files on this machine.
    if revision and (cached := _find_in_cache(model, revision)):
        return cached
    try:
        if revision:
            # Fails at once without a network connection; asking for a commit retries for half a minute.
            _fetch(model, None)
        folder = _fetch(model, revision, "*.safetensors", "*.safetensors.index.json")
        if _find_weights(folder):
            return folder
        return _fetch(model, revision, "pytorch_model*.bin", "pytorch_model*.bin.index.json")
    except errors.GatedRepoError as error:
        raise DepthError(f"{model} is gated: accept its terms on the hub and log in with `hf auth login`.") from error
    except errors.RepositoryNotFoundError as error:
        known = ", ".join(KNOWN_MODELS)
        raise DepthError(f"The hub has no model {model!r}, or it is private. Known names: {known}.") from error
    except errors.RevisionNotFoundError as error:
        raise DepthError(
            f"{model} has no commit {revision} on the hub any more: download another one and give the folder's path."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        raise DepthError(
            f"Depth model {model!r} is not on this machine and the hub cannot be reached. Use the embedded model "
            f"{EMBEDDED_MODEL!r}, which needs no network, or download {model} elsewhere "
            f"(`hf download {model} --local-dir FOLDER`) and give the path of that folder instead of the name."
        ) from error


def _find_weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    return [path for path in found if path.is_file()]  # reading a pipe would block


def _find_in_folder(folder: Path, name: str, revision: str | None) -> ModelFiles:
    config = read_json(folder / "config.json")
    if config.get("model_type") == EMBEDDED_MODEL:
        return _find_tiny(folder, name)
    weights = _find_weights(folder)
    if not weights:
        raise DepthError(f"{folder} has a config.json but no weights: expected model.safetensors or pytorch_model.bin.")
    known = KNOWN_MODELS.get(name)
    meaning = known.meaning if known else _infer_meaning(name, config)
    rule = known.input if known else _infer_input(folder, config)
    licence = known.licence if known else UNKNOWN_LICENCE
    return ModelFiles("transformers", folder, tuple(weights), name, revision, rule, meaning, licence)


def _find_tiny(folder: Path, name: str) -> ModelFiles:
    config = read_json(folder / "config.json")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DepthError(f"{folder} has a config.json but no model.safetensors: copy both files of the model.")
    rule = dataclasses.replace(TINY_INPUT, side=int(config.get("short_side", TINY_INPUT.side)))
    licence = KNOWN_MODELS[EMBEDDED_MODEL].licence if name == EMBEDDED_MODEL else UNKNOWN_LICENCE
    return ModelFiles("tiny", folder, (weights,), name, None, rule, "relative inverse depth", licence)


def _infer_meaning(name: str, config: dict[str, Any]) -> Meaning:
    """Return the meaning of a model's output according to its config.json; refuse models that do not estimate depth."""
    architectures = [str(a) for a in config.get("architectures") or []]
    model_type = str(config.get("model_type"))
    if architectures and not any(a.endswith("ForDepthEstimation") for a in architectures):
        raise DepthError(f"The output of {name} is not depth: its config.json says {', '.join(architectures)}.")
    if model_type not in MEANING_BY_MODEL_TYPE:
        raise DepthError(
            f"The meaning of the output of {name} ({model_type}) is not known. It is known for the network types "
            f"{', '.join(MEANING_BY_MODEL_TYPE)}; add a row to depth/weights.py for another type."
        )
    backbone = config.get("backbone_config") or {}
    over_dinov2 = model_type == "dpt" and backbone.get("model_type") == "dinov2"
    if config.get("depth_estimation_type") == "metric" or over_dinov2:
        return "metric depth"
    return MEANING_BY_MODEL_TYPE[model_type]


def _infer_input(folder: Path, config: dict[str, Any]) -> InputRule:
    """Return the published rule for DPT and Depth Anything, and the rule of its own processor for any other network."""
    if config.get("model_type") == "depth_anything":
        return DEPTH_ANYTHING_INPUT
    if config.get("model_type") == "dpt" and (config.get("is_hybrid") or not config.get("backbone_config")):
        return DPT_INPUT
    processor = read_json(folder / "preprocessor_config.json")
    size = processor.get("size", DPT_INPUT.side)
    side = min(size[k] for k in ("height", "width")) if isinstance(size, dict) and "height" in size else size
    is_normalized = processor.get("do_normalize", "image_mean" in processor)
    return InputRule(
        side=side if isinstance(side, int) else DPT_INPUT.side,
        multiple=int(processor.get("ensure_multiple_of") or processor.get("size_divisor") or 32),
        fit="minimal" if processor.get("keep_aspect_ratio") or "size" not in processor else "square",
        mean=tuple(processor.get("image_mean", (0.5, 0.5, 0.5))) if is_normalized else (0.0, 0.0, 0.0),
        std=tuple(processor.get("image_std", (0.5, 0.5, 0.5))) if is_normalized else (1.0, 1.0, 1.0),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        DepthError: there is no such file, or it holds something else.
    """
    if not path.is_file():  # reading a pipe would block
        raise DepthError(
            f"{path.parent} is no model folder: it has no {path.name}. Expected a folder as `save_pretrained` or "
            "`hf download --local-dir` writes it, with config.json, preprocessor_config.json and model.safetensors."
        )
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DepthError(f"{path} is not JSON ({error}): download it again.") from error
    if not isinstance(values, dict):
        raise DepthError(f"{path} is not a configuration but a {type(values).__name__}: download it again.")
    return values


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of one file, or that of the joined digests of several files in the order of their names."""
    digests = []
    for path in sorted(paths):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
