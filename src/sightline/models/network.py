"""The form that every network has, and the small parts that several share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import UsageError


class Network(nn.Module):
    """A classifier in two parts: `body` turns images into features, `head` features into logits.

    Input float (N, C, H, W), features float (N, C', H', W'), logits float (N, K). A head begins with its pooling or
    flattening and ends with the layer `dense`.
    """

    def __init__(self, body: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward_features(self, x: Tensor) -> Tensor:
        """Give the feature maps (N, C', H', W') of the images `x`."""
        return self.body(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Give the logits (N, K) of the feature maps."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        """Give the logits (N, K) of the images `x`."""
        return self.forward_head(self.forward_features(x))


class ConvReLU(nn.Module):
    """A convolution, then ReLU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return F.relu(self.conv(x), inplace=True)


class ConvNormReLU(nn.Module):
    """A convolution, batch norm, then ReLU."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class NormReLU(nn.Module):
    """A norm, then ReLU."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return F.relu(self.norm(x), inplace=True)


class GlobalMean(nn.Module):
    """The mean over height and width, of any size."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return x.mean(dim=(2, 3))


class Flatten(nn.Module):
    """All features of an image in one row, for a dense layer that was built for one image size.

    Raises UsageError for features of any other number.
    """

    def __init__(self, image_size: tuple[int, int], features: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C*H*W)."""
        flat = x.flatten(1)
        if flat.shape[1] != self.features:
            height, width = self.image_size
            found = f"{flat.shape[1]} features reach a dense layer that takes {self.features}"
            raise UsageError("--image-size", found, f"this network was built for {height}x{width} images")
        return flat
