"""ONNX Runtime on the plain networks, exported by torch: uint8 (N, H, W, C) in, probabilities out."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import side
import torch
import torch_networks
from numpy.typing import NDArray


def main() -> None:
    """Answer."""
    side.answer({"inference": inference}, ("onnxruntime", "onnx", "torch", "numpy"))


def inference(network: str, repeats: int, threads: int) -> side.Answer:
    """Latency of a session with `threads` threads and otherwise the defaults."""
    torch.manual_seed(0)
    served = torch_networks.Served(torch_networks.NETWORKS[network]()).eval()
    # Two images: the exporter takes a size of one for a fixed one.
    example = torch.from_numpy(side.synthetic(network, 2)[0])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            served, (example,), path, input_names=["pixels"], output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("images")},), dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return session.run(["probabilities"], {"pixels": pixels})[0]

    expected = served(example).detach().numpy()
    assert np.allclose(predict(example.numpy()), expected, atol=1e-4), "the exported network answers otherwise"
    return side.latencies(predict, network, repeats)


if __name__ == "__main__":
    main()
