"""What the JSON files of a run hold: one frozen dataclass for each, used by whoever writes, reads or returns it.

Keys that older files lack have a default; keys of newer versions are ignored. Accuracies, intervals and calibration
errors are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sightline.data.image_set import Grouping
from sightline.files.json_records import OMIT_NONE

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """environment.json: what a result may depend on. `gpu` is None on a CPU."""

    sightline: str | None = None
    python: str | None = None
    torch: str | None = None
    numpy: str | None = None
    pillow: str | None = None
    system: str | None = None
    processor: str | None = None
    cpu_capability: str | None = None
    threads: int | None = None
    device: str | None = None
    gpu: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class SplitPart:
    """A part of the images: `size` is (H, W, C), the hashes are over the ids and over pixels and labels, in order."""

    images: int
    size: tuple[int, int, int]
    class_counts: list[int]
    ids_sha256: str
    content_sha256: str


@dataclass(frozen=True)
class Splits:
    """splits.json: the parts by name (train, validation, test), which ids validate, and what was kept together."""

    split_seed: int
    classes: list[str]
    parts: dict[str, SplitPart]
    validation_ids: list[str]
    grouping: Grouping | None = field(default=None, metadata=OMIT_NONE)

    def __post_init__(self) -> None:
        if "train" not in self.parts:
            raise ValueError("no training images")


@dataclass(frozen=True)
class AuditPart:
    """How many images a part has, in all and of each class."""

    images: int
    classes: dict[str, int]


@dataclass(frozen=True)
class CopiesInside:
    """Copies in one part beyond the first of each, and how many of them have another label than the first."""

    images: int
    other_label: int


@dataclass(frozen=True)
class EqualPair:
    """Two equal images of different parts, the earlier part first."""

    parts: tuple[str, str]
    images: tuple[str, str]
    same_label: bool


@dataclass(frozen=True, kw_only=True)
class CopiesAcross:
    """Pairs of a later part's image with the first equal one of an earlier part; the first of them are `named`.

    `with_test` counts the pairs that have a test image; audits of the first versions did not count them.
    """

    pairs: int
    other_label: int
    with_test: int = 0
    named: list[EqualPair]


@dataclass(frozen=True)
class Duplicates:
    """Images whose decoded pixels are equal: inside each part, and across parts."""

    inside: dict[str, CopiesInside]
    across: CopiesAcross


@dataclass(frozen=True)
class LeftOutPictures:
    """How many pictures of each format that is not read were left out, outside of class folders, and of each class."""

    unread: dict[str, int]
    loose: int
    classes: dict[str, int]


@dataclass(frozen=True)
class Audit:
    """audit.json: what was found wrong with the images before training.

    `imbalance`: images of the largest training class divided by those of the smallest, None where one has no image.
    `skipped`: pictures that were left out, with the reason. `ignored_files`: files of a folder that are no pictures by
    their suffix. `left_out`: pictures that were not used, None where all were.
    """

    parts: dict[str, AuditPart]
    imbalance: float | None
    skipped: dict[str, str]
    ignored_files: int
    duplicates: Duplicates
    left_out: LeftOutPictures | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True)
class Failure:
    """failure.json: why training ended before its end, in the words of its error, and after which step."""

    reason: str
    step: int


@dataclass(frozen=True)
class NetworkPart:
    """A part of a network: its name, its type, its output shape for one image, its parameters and its MACs.

    `output` is (1, C, H, W) or (1, F). It is None, and there are no MACs, for a part that is not called by itself, or
    that evaluation leaves out, as auxiliary heads are. A parameter that several parts share stands in each.
    """

    name: str
    type: str
    output: tuple[int, ...] | None
    parameters: int
    macs: int


@dataclass(frozen=True)
class NetworkSummary:
    """network.json: the network part by part; no parts and no MACs where they cannot be determined."""

    name: str
    input: tuple[int, int, int, int]
    parts: tuple[NetworkPart, ...]
    parameters: int
    macs: int | None


@dataclass(frozen=True)
class Pretrained:
    """pretrained.json: which tensors came from which file.

    `source` is as the user gave it, `file` the name of the file or repository behind it, `sha256` that file's.
    `layout`: torchvision, timm or sightline. `loaded` and `fresh` are the network's own tensor names, `unused` the
    file's.
    `classes` and `channels` are (the file's, the network's); the file's classes are None where it has no last layer.
    `normalize` is the input scaling that the weights were trained with (imagenet, symmetric or fixed), None where it
    stands in the file itself.
    """

    source: str
    file: str
    sha256: str
    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    classes: tuple[int | None, int]
    channels: tuple[int, int]
    normalize: str | None


@dataclass(frozen=True)
class CalibrationSummary:
    """How far probabilities can be trusted: `loss` in nats, `brier` 0 to 2, the others 0 to 1."""

    accuracy: float
    loss: float
    ece: float
    ece_equal_mass: float
    mce: float
    brier: float


@dataclass(frozen=True)
class EffectSize:
    """What a temperature does to the probabilities of `n` images; `after` is None where none was found."""

    n: int
    before: CalibrationSummary
    after: CalibrationSummary | None


FEWEST_TO_CALIBRATE = 100
"""With fewer validation images no temperature is fitted."""


@dataclass(frozen=True)
class Calibration:
    """calibration.json: the temperature of the model file `stored`, its 95 % interval and its effect.

    `test` is None for a run without test images.
    """

    temperature: float
    interval: Interval
    validation: EffectSize
    test: EffectSize | None
    stored: str


@dataclass(frozen=True)
class MeasuredSize:
    """What heads that were fitted to `images` training images did with images that they were fitted without.

    `images` is a mean where groups are drawn whole. `accuracy` is the mean over all heads, `standard_error` its own;
    `deviation` is the sample standard deviation over the `draws`, each on its own part of the images.
    """

    images: float
    accuracy: float
    standard_error: float
    deviation: float
    draws: int


@dataclass(frozen=True)
class ExpectedAccuracy:
    """The accuracy to be expected with `images` training images, a fraction, and its interval."""

    images: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class ExpectedGain(ExpectedAccuracy):
    """Likewise, and by how much it is above that with the run's own training images."""

    gain: float
    gain_interval: Interval


@dataclass(frozen=True)
class PowerLaw:
    """The error with n training images is `asymptote` + `factor` * n ** -`exponent`."""

    asymptote: float
    factor: float
    exponent: float


@dataclass(frozen=True)
class Forecast:
    """forecast.json: what more training images would bring a head on the frozen features that the run began from.

    `images`: the run's training images. `weights`: the file of the backbone. `measured`: heads on fewer images, asked
    about `asked` images. `now`: the same head on all of them. `predictions`: with twice and four times as many.
    `curve`: the forecast at sizes to be drawn, from the smallest measured to the largest predicted. `likeliest`: the
    most probable of the curves, of all of which the forecast is a mean. All intervals are at `confidence`.
    """

    images: int
    asked: int
    weights: str
    confidence: float
    measured: tuple[MeasuredSize, ...]
    now: ExpectedAccuracy
    predictions: tuple[ExpectedGain, ...]
    curve: tuple[ExpectedAccuracy, ...]
    likeliest: PowerLaw
    seconds: float


@dataclass(frozen=True)
class ConfidenceBin:
    """The `n` images whose confidence, the top probability, is above `low` and at most `high`.

    `confidence` is their mean confidence, `accuracy` the fraction of them answered correctly; None where there is no
    image.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ClassScores:
    """One class's metrics: `support` is its number of images, the others are 0 to 1."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class AveragedAccuracy:
    """Accuracy with test-time augmentation over `views` views of each image, and its 95 % Wilson interval."""

    views: int
    accuracy: float
    interval: Interval


UNEQUAL = 3.0
"""From how many times the images of the smallest class in the largest accuracy alone says little."""


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """test/metrics.json: every metric of `n` answers. `loss` in nats, `brier` 0 to 2, all else 0 to 1.

    `interval` is the accuracy's 95 % Wilson interval; of a cross-validation with groups that over groups. `step`: the
    training step whose weights answered, where it is known. `temperature`: that of the probabilities, where it is not
    1. `top_k` is 5, or with five classes or fewer one less than there are: the largest that still leaves a class out.
    `ece` and `mce` are the expected and the maximum calibration error over the bins of `reliability`.
    `confusion_matrix`: K rows of true classes, K columns of predicted ones. `data`: the dataset's name or folder, where
    it is not the run's own. `tta`: test-time augmentation, where it was asked for. `missing_classes`: those without an
    image, where there are some; balanced accuracy leaves them out, and macro F1 unless one was predicted.

    The test of an older version may lack the calibration errors, the Brier score and the bins.
    """

    __test__ = False

    accuracy: float
    interval: Interval
    step: int | None = field(default=None, metadata=OMIT_NONE)
    temperature: float | None = field(default=None, metadata=OMIT_NONE)
    n: int
    loss: float
    top_k: int
    top_k_accuracy: float
    macro_f1: float
    balanced_accuracy: float
    ece: float | None = field(default=None, metadata=OMIT_NONE)
    ece_equal_mass: float | None = field(default=None, metadata=OMIT_NONE)
    mce: float | None = field(default=None, metadata=OMIT_NONE)
    brier: float | None = field(default=None, metadata=OMIT_NONE)
    reliability: tuple[ConfidenceBin, ...] = ()
    per_class: tuple[ClassScores, ...]
    confusion_matrix: list[list[int]]
    data: str | None = field(default=None, metadata=OMIT_NONE)
    tta: AveragedAccuracy | None = field(default=None, metadata=OMIT_NONE)
    missing_classes: tuple[str, ...] | None = field(default=None, metadata=OMIT_NONE)

    @property
    def worst_class(self) -> ClassScores:
        """The class of the lowest recall, of those that have images."""
        return min((scores for scores in self.per_class if scores.support), key=lambda scores: scores.recall)

    @property
    def is_unequal(self) -> bool:
        """Whether some classes have so many more images than others that accuracy alone says little."""
        counts = [scores.support for scores in self.per_class if scores.support]
        return max(counts) >= UNEQUAL * min(counts)
