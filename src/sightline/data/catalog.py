"""The datasets that have a name: their classes, their sizes, their official files and where these are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# fmt: on


@dataclass(frozen=True)
class Source:
    """The official files of a dataset, each with its hash (`sha256:...` or `md5:...`), and the mirrors, in order.

    A file's address is a mirror followed by the file's name.
    """

    name: str
    files: Mapping[str, str]
    mirrors: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A dataset with a name. `size` is (H, W, C); `train` and `test` count images; None where the user chooses."""

    name: str
    title: str
    class_names: tuple[str, ...] | None
    size: tuple[int, int, int] | None
    train: int | None
    test: int | None
    source: Source | None = None


_MNIST = Source(
    "mnist",
    MappingProxyType(
        {
            "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        }
    ),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
)
_FASHION = Source(
    "fashion-mnist",
    MappingProxyType(
        {
            "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        }
    ),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
# The publisher gives MD5 only; these are the SHA-256 that several other projects pin for the same archives.
_CIFAR10 = Source(
    "cifar10",
    MappingProxyType(
        {"cifar-10-binary.tar.gz": "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
    ),
    _TORONTO,
)
_CIFAR100 = Source(
    "cifar100",
    MappingProxyType(
        {"cifar-100-binary.tar.gz": "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}
    ),
    _TORONTO,
)

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            Dataset("digits", "Handwritten digits of scikit-learn, embedded", DIGITS, (8, 8, 1), 1438, 359),
            Dataset("mnist", "MNIST handwritten digits", DIGITS, (28, 28, 1), 60_000, 10_000, _MNIST),
            Dataset("fashion-mnist", "Fashion-MNIST clothing", FASHION, (28, 28, 1), 60_000, 10_000, _FASHION),
            Dataset("cifar10", "CIFAR-10 objects", CIFAR10, (32, 32, 3), 50_000, 10_000, _CIFAR10),
            Dataset("cifar100", "CIFAR-100 objects, fine labels", CIFAR100, (32, 32, 3), 50_000, 10_000, _CIFAR100),
            Dataset("synthetic", "Made patterns in noise, any size", None, None, None, None),
        )
    }
)
# Datasets of which an image seen in a mirror is still one of its class.
MIRRORS_KEEP_CLASS = frozenset({"fashion-mnist", "cifar10", "cifar100"})


def dataset_names() -> tuple[str, ...]:
    """Name the datasets that need no folder."""
    return tuple(DATASETS)
