"""Networks built from frozen settings, including those of timm, and the loading of pretrained weights.

The families are `cnn`, the residual family `resnet`, `resnet_pad`, `alexnet`, `googlenet`, `sprint`, `efficientnet` and
`timm`.

Every network takes float images (N, C, H, W), already scaled, and gives logits (N, K). See `Network` for its two parts,
and for the auxiliary heads that some have in training.
"""

from __future__ import annotations

from sightline.models.build import build_model, lay_out
from sightline.models.network import Network, Output
from sightline.models.sprint import whiten
from sightline.models.summary import ModelSummary, summarize

__all__ = ["ModelSummary", "Network", "Output", "build_model", "lay_out", "summarize", "whiten"]
