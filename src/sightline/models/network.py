"""The form that every network has, and the small parts that several share."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import UsageError

Output = Tensor | tuple[Tensor, ...]
LARGEST_SIDE = 4096


class Network(nn.Module):
    """A classifier in two parts: `body` turns images into features, `head` features into logits.

    Input float (N, C, H, W), features float (N, C', H', W'), logits float (N, K). A head begins with its pooling or
    flattening and ends with the layer `dense`. No network ends in a softmax: the cross-entropy and the classifier
    apply it.

    `auxiliary` holds heads that stand behind parts of the body, by those parts' names. They exist to be trained: while
    both the network and its body are in training mode, a call gives a tuple of the logits and theirs, in the order of
    the body. In evaluation mode, and with a body that is frozen (in evaluation mode by itself), it gives the logits
    alone. The loss that they add is the training step's affair.
    """

    def __init__(
        self, body: nn.Sequential, head: nn.Sequential, auxiliary: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.auxiliary = nn.ModuleDict(auxiliary) if auxiliary else None

    def to_empty(self, *, device: str | torch.device | int | None, recurse: bool = True) -> Self:
        """Give the tensors memory on `device`, its values whatever is there.

        What torch's own does, which takes half a second to import its shape arithmetic first.
        """
        if not recurse:
            return super().to_empty(device=device, recurse=recurse)
        empty = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
            for name, tensor in self.state_dict().items()
        }
        self.load_state_dict(empty, assign=True)
        return self

    @contextmanager
    def explained(self) -> Generator[nn.Module]:
        """Give the part whose answer, maps (N, C', H', W'), shows where the network looked; while the context lasts."""
        yield self.body

    def forward_features(self, x: Tensor) -> Tensor:
        """Give the feature maps (N, C', H', W') of the images `x`."""
        return self.body(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Give the logits (N, K) of the feature maps."""
        return self.head(features)

    def forward(self, x: Tensor) -> Output:
        """Give the logits (N, K) of the images `x`; a tuple of several where auxiliary heads are trained."""
        if self.auxiliary is None or not (self.training and self.body.training):
            return self.forward_head(self.forward_features(x))
        others: list[Tensor] = []
        for name, part in self.body.named_children():
            x = part(x)
            if name in self.auxiliary:
                others.append(self.auxiliary[name](x))
        return (self.forward_head(x), *others)


def check_least_size(
    body: nn.Sequential, channels: int, image_size: tuple[int, int], subject: str, advice: str = ""
) -> None:
    """Raise UsageError where images of `image_size` are smaller than the windows of `body`, naming the least size.

    Nothing is computed: `body` must be on the meta device, as it is while a network is built. `subject` says in the
    message what the images are too small for.
    """

    def fits(side: int) -> bool:
        try:
            body(torch.empty(1, channels, side, side, device="meta"))
        except RuntimeError:
            if side >= LARGEST_SIDE:  # then it is not the size that this body refuses
                raise
            return False
        return True

    body.eval()  # batch norm in training refuses a single pixel, which is not what is asked here
    with torch.no_grad():
        if not fits(min(image_size)):
            least = 1 + bisect_left(range(1, LARGEST_SIDE + 1), True, key=fits)
            found = f"{image_size[0]}x{image_size[1]} is too small for {subject}"
            raise UsageError("--image-size", found, f"at least {least}x{least}", advice)
    body.train()


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


class LocalResponseNorm(nn.Module):
    """Local response normalisation: each value over (k + alpha / size * sum) ** beta.

    The sum is that of the squares of `size` channels, an odd number, around the value; channels beyond the edge count
    as zero. It gives what `torch.nn.LocalResponseNorm` gives, in about a third of its time on a CPU: the sums are a
    1x1 convolution with a band of ones, which is quick where maps are channels-last.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        assert size % 2 == 1, "a window of an even size has no middle"
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    @classmethod
    def of_alexnet(cls) -> LocalResponseNorm:
        """Give the norm of Krizhevsky et al. 2012, section 3.3, whose alpha is not divided by the size."""
        return cls(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape and type."""
        channel = torch.arange(x.shape[1], device=x.device)
        band = ((channel[:, None] - channel).abs() <= self.size // 2).to(x.dtype)  # C, C
        # Scaled before they are squared: autocast may sum in float16, where the squares themselves would soon overflow.
        squares = (x * math.sqrt(self.alpha / self.size)).square()
        sums = F.conv2d(squares, band[:, :, None, None])
        # Beside k a half-precision sum would lose nearly all of its digits.
        factor = (sums.to(torch.promote_types(x.dtype, torch.float32)) + self.k).pow(-self.beta)
        return (x * factor).to(x.dtype)


class GlobalMean(nn.Module):
    """The mean over height and width, of any size."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return x.mean(dim=(2, 3))


class AdaptiveMean(nn.Module):
    """Mean pooling to maps of `side` x `side` pixels, of any size, by windows that may overlap.

    It gives what `torch.nn.AdaptiveAvgPool2d` gives, whose gradient on an NVIDIA GPU is not deterministic: here it is
    that of a matrix product.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, side, side)."""
        height, width = x.shape[2:]
        shares = torch.kron(self._shares(height, x), self._shares(width, x))  # side * side, H * W
        pooled = shares @ x.permute(0, 2, 3, 1).flatten(1, 2)  # N, side * side, C
        return pooled.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)

    def _shares(self, size: int, like: Tensor) -> Tensor:
        """How much each of `size` pixels counts in each mean: (side, size)."""
        mean = torch.arange(self.side, device=like.device)[:, None]
        pixel = torch.arange(size, device=like.device)
        start, end = mean * size // self.side, ((mean + 1) * size + self.side - 1) // self.side
        return ((pixel >= start) & (pixel < end)).to(like.dtype) / (end - start)


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
            raise UsageError("--image-size", found, f"images of {height}x{width}, which the network was built for")
        return flat
