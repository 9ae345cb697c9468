"""Where the datasets with a name come from, and under what licence, as far as that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Origin:
    """Who made a dataset, what its licence is, in sentences, and its name on the Hugging Face Hub where it has one."""

    made_by: str
    licence: str
    hub: str | None = None


_TINY = (
    "Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, from the Tiny Images: https://www.cs.toronto.edu/~kriz/cifar.html"
)
_NO_LICENCE = "No licence is stated by its authors; they ask that the report be cited (Krizhevsky 2009)."

ORIGINS: Mapping[str, Origin] = MappingProxyType(
    {
        "digits": Origin(
            "E. Alpaydin and C. Kaynak, the test part of UCI's Optical Recognition of Handwritten Digits, as "
            "scikit-learn brings it: https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            "scikit-learn, and this copy of the digits with it, is distributed under the BSD 3-Clause licence.",
        ),
        "mnist": Origin(
            "Yann LeCun, Corinna Cortes and Christopher J.C. Burges, from pictures of NIST: "
            "http://yann.lecun.com/exdb/mnist/",
            "No licence comes with the files; the documentation of Keras gives Creative Commons BY-SA 3.0.",
            "ylecun/mnist",
        ),
        "fashion-mnist": Origin(
            "Zalando SE (arXiv 1708.07747): https://github.com/zalandoresearch/fashion-mnist",
            "The MIT licence.",
            "zalando-datasets/fashion_mnist",
        ),
        "cifar10": Origin(_TINY, _NO_LICENCE, "uoft-cs/cifar10"),
        "cifar100": Origin(_TINY, _NO_LICENCE, "uoft-cs/cifar100"),
        "synthetic": Origin("Sightline: patterns in noise, made from a seed.", "None is needed."),
    }
)
