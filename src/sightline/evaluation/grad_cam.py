"""Where a network looked: Grad-CAM maps of its answers (arXiv 1610.02391), computed by captum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.classifier import Classifier
from sightline.classifier.torch_backend import TorchBackend
from sightline.device import full_precision
from sightline.errors import UsageError, needs
from sightline.models import Network


def grad_cam(classifier: Classifier, pixels: NDArray[np.uint8], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Map how much each place of a picture spoke for a class: float32 (n, H, W), 0 to 1, each map's largest value 1.

    `pixels` uint8 (n, H, W, C) of the model's size, `classes` int64 (n,). The gradient is taken at the last feature
    maps, before the pooling, of a transformer before its last attention; a map that is 0 everywhere stays so. Raises
    UsageError without captum, for a network that is not Sightline's, of which it is not known where its feature maps
    end, and for one whose features are no maps.
    """
    with needs("--explain", "explain", "captum"):
        from captum.attr import LayerAttribution, LayerGradCam
    backend = classifier.backend
    if not isinstance(backend, TorchBackend) or not isinstance(backend.module, Network):
        raise UsageError("--explain", "a module of your own, or no torch model", "a network that Sightline builds")
    height, width, _ = classifier.size
    target = torch.from_numpy(classes).to(backend.device)
    with full_precision(), backend.module.explained() as seen:
        images = backend.prepared(pixels).requires_grad_()
        maps = LayerGradCam(backend.module, seen).attribute(images, target, relu_attributions=True)
        if not isinstance(maps, torch.Tensor) or maps.ndim != 4:
            raise UsageError("--explain", "this network has no feature maps", "a network with feature maps")
        large = LayerAttribution.interpolate(maps.detach(), (height, width), "bilinear")[:, 0].float()
    highest = large.amax(dim=(1, 2), keepdim=True)
    return (large / torch.where(highest > 0, highest, 1)).cpu().numpy()
