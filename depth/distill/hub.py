"""Distilled depth networks on the Hugging Face Hub.

The methods are those of huggingface_hub's mixin; the files are those that `python -m depth.distill` writes. The class
is apart from `TinyDPT` because importing the hub's client takes a quarter of a second.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download

from depth import regnet
from depth.errors import DepthError
from depth.model_files import find_model, read_json
from depth.tiny import TinyDPT
from depth.weights import TINY_INPUT

CARD = (files("depth.distill") / "hub_card.md").read_text(encoding="utf-8")


class HubTinyDPT(
    TinyDPT,
    PyTorchModelHubMixin,
    model_card_template=CARD,
    library_name="fakeflow",
    pipeline_tag="depth-estimation",
):
    """A `TinyDPT` with `from_pretrained`, `save_pretrained` and `push_to_hub`.

    `from_pretrained` takes an id of the hub such as `someone/depth`, or a folder that `python -m depth.distill` or
    `save_pretrained` wrote. `pipeline run --depth-model` takes both as well.

    Args:
        encoder: as of `TinyDPT`.
        width: as of `TinyDPT`.
        short_side: shorter side of the network's input, in pixels.
        is_to_be_loaded: as of `TinyDPT`.
    """

    def __init__(
        self,
        encoder: str = regnet.NAME,
        width: int = 48,
        short_side: int = TINY_INPUT.side,
        *,
        is_to_be_loaded: bool = False,
    ) -> None:
        super().__init__(encoder, width, is_to_be_loaded=is_to_be_loaded)
        self.short_side: int = short_side

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(save_directory, self.short_side)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **from_config: Any,
    ) -> HubTinyDPT:
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                    allow_patterns=["config.json", "model.safetensors"],
                )
            )
        found = find_model(str(folder))
        if found.kind != "tiny":
            raise DepthError(f"{model_id} is no network of `python -m depth.distill`, but one of {found.kind}.")
        network = cls.load(folder)
        network.short_side = int(read_json(folder / "config.json").get("short_side", TINY_INPUT.side))
        return network

    def push_to_hub(self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload files and card in one commit; `options` are those of huggingface_hub's mixin.

        Returns:
            Address of the commit.
        """
        names = {"repo_id": repo_id, **(model_card_kwargs or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=names, **options)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the card of this network; `kwargs` are further values of the template."""
        facts = {
            "encoder": self.encoder_name,
            "width": self.width,
            "short_side": self.short_side,
            "parameters": f"{sum(weights.numel() for weights in self.parameters()) / 1e6:.1f}",
        }
        return super().generate_model_card(*args, **facts, **kwargs)
