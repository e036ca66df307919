"""Two-stream networks on the Hugging Face Hub; the files are those of `save_network`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from depth.hub_network import NetworkOnHub
from pipeline.redaction import redact
from segmentation.network.checkpoint import read_about, read_network, save_network
from segmentation.network.model import TwoStreamNetwork

CARD = (files("segmentation.network") / "hub_card.md").read_text(encoding="utf-8")


class HubNetwork(
    TwoStreamNetwork,
    NetworkOnHub,
    model_card_template=CARD,
    pipeline_tag="image-segmentation",
    tags=["video-object-segmentation", "optical-flow"],
):
    """A `TwoStreamNetwork` with `from_pretrained`, `save_pretrained` and `push_to_hub`.

    `from_pretrained` takes an id of the hub such as `someone/network`, a folder that `save_network` or
    `save_pretrained` wrote, or the folder of a training run. `side_px` overrides the side that it was
    trained with.

    Attributes:
        about: plain values that are kept beside the weights, such as the configuration of the training.
    """

    about: dict[str, Any] | None = None

    def _save_pretrained(self, save_directory: Path) -> None:
        save_network(self, save_directory, self.about)

    @classmethod
    def _from_folder(cls, folder: Path, model_id: str, *, side_px: int | None = None, **from_config: Any) -> HubNetwork:
        network = read_network(cls, folder, side_px=side_px)
        network.about = read_about(folder)
        return network

    def _card_facts(self) -> dict[str, Any]:
        about = json.dumps(self.about or {}, indent=2, ensure_ascii=True).replace("`", "'")
        return {
            "encoder": self.encoder_name,
            "side_px": self.side_px,
            "decoder_width": self.decoder_width,
            "about": redact(about),
        }
