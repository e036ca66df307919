"""Distilled depth networks on the Hugging Face Hub; the files are those that `python -m depth.distill` writes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from depth import regnet
from depth.errors import DepthError
from depth.hub_network import NetworkOnHub
from depth.model_files import find_model
from depth.tiny import TinyDPT
from depth.weights import TINY_INPUT

CARD = (files("depth.distill") / "hub_card.md").read_text(encoding="utf-8")


class HubTinyDPT(
    TinyDPT,
    NetworkOnHub,
    model_card_template=CARD,
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
    def _from_folder(cls, folder: Path, model_id: str, **from_config: Any) -> HubTinyDPT:
        found = find_model(str(folder))
        if found.kind != "tiny":
            raise DepthError(f"{model_id} is no network of `python -m depth.distill`, but one of {found.kind}.")
        network = cls.load(folder)
        network.short_side = found.input.side
        return network

    def _card_facts(self) -> dict[str, Any]:
        return {"encoder": self.encoder_name, "width": self.width, "short_side": self.short_side}
