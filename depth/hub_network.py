"""Networks on the Hugging Face Hub: what those of `depth.distill` and of `segmentation` share.

The methods are those of huggingface_hub's mixin. Importing this module imports the hub's client, which takes a quarter
of a second, so the classes that are made with it are apart from those of the networks themselves.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from torch import nn

FILES = ["config.json", "model.safetensors"]
"""The files of a network, in its folder and on the hub."""


class NetworkOnHub(nn.Module, PyTorchModelHubMixin, library_name="fakeflow"):
    """A network with `from_pretrained`, `save_pretrained` and `push_to_hub`, whose files have a format of their own."""

    @abstractmethod
    def _save_pretrained(self, save_directory: Path) -> None:
        """Write `FILES` into a folder."""

    @classmethod
    @abstractmethod
    def _from_folder(cls, folder: Path, model_id: str, **from_config: Any) -> NetworkOnHub:
        """Load the network of a folder with `FILES`.

        Args:
            folder: the folder, of this machine or of the cache of downloads.
            model_id: what the user calls the network.
            from_config: arguments of `from_pretrained`, and values of config.json that are arguments of the class.
        """

    @abstractmethod
    def _card_facts(self) -> dict[str, Any]:
        """Return the values that the template of the card names, apart from the number of parameters."""

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
    ) -> NetworkOnHub:
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
                    allow_patterns=FILES,
                )
            )
        return cls._from_folder(folder, model_id, **from_config)

    def push_to_hub(self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload files and card in one commit; `options` are those of huggingface_hub's mixin.

        Returns:
            Address of the commit.
        """
        names = {"repo_id": repo_id, **(model_card_kwargs or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=names, **options)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the card of this network; `kwargs` are further values of the template."""
        parameters = f"{sum(weights.numel() for weights in self.parameters()) / 1e6:.1f}"
        return super().generate_model_card(*args, parameters=parameters, **self._card_facts(), **kwargs)
