"""Two-stream networks on the Hugging Face Hub.

The methods are those of huggingface_hub's mixin; the files are those of `save_network`. The class is apart from
`TwoStreamNetwork` because importing the hub's client takes a quarter of a second.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download

from pipeline.redaction import redact
from segmentation.network.checkpoint import read_about, read_network, save_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE, WEIGHTS_FILE

CARD = (files("segmentation.network") / "hub_card.md").read_text(encoding="utf-8")


class HubNetwork(
    TwoStreamNetwork,
    PyTorchModelHubMixin,
    model_card_template=CARD,
    library_name="fakeflow",
    pipeline_tag="image-segmentation",
    tags=["video-object-segmentation", "optical-flow"],
    paper_url="https://arxiv.org/abs/2407.11714",
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
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        side_px: int | None = None,
        **from_config: Any,
    ) -> HubNetwork:
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
                    allow_patterns=[CONFIG_FILE, WEIGHTS_FILE],
                )
            )
        network = read_network(cls, folder, side_px=side_px)
        network.about = read_about(folder)
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
        about = json.dumps(self.about or {}, indent=2, ensure_ascii=True).replace("`", "'")
        facts = {
            "encoder": self.encoder_name,
            "side_px": self.side_px,
            "decoder_width": self.decoder_width,
            "parameters": f"{sum(weights.numel() for weights in self.parameters()) / 1e6:.1f}",
            "about": redact(about),
        }
        return super().generate_model_card(*args, **facts, **kwargs)
