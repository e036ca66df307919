"""Two-stream networks as ONNX files, for use without torch. Importing this module imports no torch."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.command.settings import argument, setting
from pipeline.errors import installation_of
from pipeline.files.whole_files import save_whole
from segmentation.errors import SegmentationError, writing

if TYPE_CHECKING:
    from segmentation.network.model import TwoStreamNetwork

INPUTS, OUTPUT = ("image", "flow_rgb"), "logits"
_EXAMPLE = (2, 3, 120, 200)
"""Shape of the inputs with which the network is traced; unlike all sides that networks are trained with."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of `segmentation export-onnx`."""

    checkpoint: Path = argument("Network to export: tiny-vos, a run folder, its best folder, or a released .pth file.")
    output: Path = setting("ONNX file to write; an earlier one is replaced.", "Output")


def export_onnx(settings: ExportSettings) -> Path:
    """Write a network as an ONNX file with inputs of any batch size, height and width; return its path.

    Inputs `image` and `flow_rgb` and output `logits` are those of `TwoStreamNetwork.forward`, float32.

    Raises:
        SegmentationError: there is no such network, the extra `onnx` is not installed, the encoder cannot be exported,
            or the file cannot be written.
    """
    if settings.output.suffix != ".onnx":
        raise SegmentationError(f"--output is {settings.output}; expected a file that ends in .onnx")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SegmentationError(f"{error.name} is not installed. {installation_of('onnx')}") from None
    from segmentation.network.checkpoint import load_network

    network = load_network(settings.checkpoint)
    with writing(settings.output):  # before the export, which takes its time
        settings.output.parent.mkdir(parents=True, exist_ok=True)
    program = _export(network)
    with writing(settings.output):
        save_whole(settings.output, lambda partial: program.save(partial, external_data=False))
    return settings.output


def _export(network: TwoStreamNetwork) -> Any:
    import torch

    example = torch.rand(_EXAMPLE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(example, example)  # fills the cache of interpolation matrices with real values
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.onnx.export(
                network,
                (example, example.clone()),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=(free, free),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise SegmentationError(
                f"A network with encoder {network.encoder_name} cannot be exported to ONNX ({reason}). "
                "Known to work: mit-b0 and lite0."
            ) from error
