"""Images that are there twice: equal pixel by pixel, or the same picture encoded, resized or lit a little differently.

Both searches run over parts in order (train, validation, test) and pair each later image with one earlier image of
each part, so that their answers grow with the images, not with their square.

The search for near duplicates compares gray thumbnails of 32x32, each without its mean and of length 1, so that
brightness and contrast make no difference. Three figures decide. The thumbnails must correlate. Their detail (what 4x4
blocks lose) must correlate too, which keeps apart smooth pictures such as two horizons. And the pair must stand out:
handwritten ones and plain trousers are all alike, so a pair counts only where it is five times nearer than the tenth
nearest of 2,000 other pictures, or all but equal.

Every pair is looked at: a blocked matrix product over the 16x16 block means plus the length of what they lose gives an
upper bound on the correlation (Cauchy-Schwarz), and only pairs whose bound reaches `alike` are compared in full. No
pair is lost by that, except where an image has more than 32 candidates in a block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.data.decoder import resize, to_gray

Thumbnails = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE, COARSE_SIDE, BLUR_SIDE = 32, 16, 8
ALIKE = 0.97
"""Least correlation of the thumbnails of near duplicates."""
DETAIL_ALIKE = 0.85
FLAT = 2.0
"""Deviation in grey levels below which there is nothing in a thumbnail to compare."""
STANDS_OUT, RANK, SAMPLE = 0.2, 10, 2000
NEARLY_EQUAL = 0.995
WEAK_DETAIL, SAME_LEVELS = 1.0, 2.0
BLOCK, COMPARED_AT_ONCE, MOST_A_ROW = 2048, 4096, 32
ROUNDING = 1e-4


class Copy(NamedTuple):
    """A later image and the first that equals it: names of parts and indices in them."""

    first_part: str
    first: int
    part: str
    later: int


class NearPair(NamedTuple):
    """A later image and the most similar one of an earlier or the same part: rows, and their correlation, 0 to 1."""

    first: int
    later: int
    similarity: float


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """Tell one image, uint8 (H, W, C), from others: a hash of its pixels, then its shape."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() + b"%d %d %d" % image.shape


def exact_copies(digests: Mapping[str, Sequence[bytes]]) -> Iterator[Copy]:
    """Find equal images by the digests of each part, in the order of the parts.

    First inside each part, every copy beyond the first with the first; then across parts, every image of a later part
    with the first equal one of each earlier part.
    """
    firsts: dict[str, dict[bytes, int]] = {}
    for part, found in digests.items():
        seen = firsts.setdefault(part, {})
        for index, digest in enumerate(found):
            first = seen.setdefault(digest, index)
            if first != index:
                yield Copy(part, first, part, index)
    for earlier, later in combinations(digests, 2):
        for index, digest in enumerate(digests[later]):
            first = firsts[earlier].get(digest)
            if first is not None:
                yield Copy(earlier, first, later, index)


def thumbnail(image: NDArray[np.uint8]) -> Thumbnails:
    """Make the gray thumbnail, uint8 (32, 32), of one image, uint8 (h, w, 1 or 3)."""
    return resize(to_gray(image), SIDE, SIDE)[..., 0]


def flat(thumbnails: Thumbnails) -> NDArray[np.bool_]:
    """Tell which thumbnails, uint8 (N, 32, 32), are as good as one colour, bool (N,)."""
    rows = [thumbnails[start : start + BLOCK].std(axis=(1, 2)) < FLAT for start in range(0, len(thumbnails), BLOCK)]
    return np.concatenate(rows) if rows else np.zeros(0, bool)


def near_duplicates(
    thumbnails: Thumbnails,
    parts: NDArray[np.int64],
    *,
    alike: float = ALIKE,
    advance: Callable[[int], None] = lambda _: None,
) -> list[NearPair]:
    """Find near duplicates among thumbnails, uint8 (N, 32, 32), whose part's number, int64 (N,), never falls.

    Each image is paired with the most similar earlier one of each part, its own included. Flat ones are left out.
    `alike`, 0 to 1, is the least correlation. `advance` is told the images done. Takes 257 N^2 operations, which for
    60,000 images are seconds on two cores, and about a kB an image.
    """
    kept = np.flatnonzero(~flat(thumbnails))
    thumbnails, parts = thumbnails[kept], parts[kept]
    bounds = _bounding_features(thumbnails)
    limits = _limits(bounds)
    blocks = [
        (start, min(start + BLOCK, int(edges[-1]) + 1), int(part))
        for part in np.unique(parts)
        for edges in [np.flatnonzero(parts == part)]
        for start in range(int(edges[0]), int(edges[-1]) + 1, BLOCK)
    ]
    best: dict[tuple[int, int], NearPair] = {}
    for number, (start, stop, _) in enumerate(blocks):
        for first_start, first_stop, part in blocks[: number + 1]:
            upper = bounds[start:stop] @ bounds[first_start:first_stop].T
            if first_start == start:
                upper[np.triu_indices(len(upper))] = -1
            later, first = _candidates(upper, alike - ROUNDING)
            later, first = later + start, first + first_start
            for begin in range(0, len(later), COMPARED_AT_ONCE):
                chosen = slice(begin, begin + COMPARED_AT_ONCE)
                similarity, same = _compare(thumbnails[later[chosen]], thumbnails[first[chosen]], alike)
                limit = np.minimum(limits[later[chosen]], limits[first[chosen]])
                for index in np.flatnonzero(same & (1 - similarity <= limit)):
                    row, value = int(later[chosen][index]), float(similarity[index])
                    known = best.get((row, part))
                    if known is None or value > known.similarity:
                        best[row, part] = NearPair(int(kept[first[chosen][index]]), int(kept[row]), value)
        advance(stop - start)
    return sorted(best.values(), key=lambda pair: (-round(pair.similarity, 4), pair.later, pair.first))


def _limits(bounds: Floats) -> Floats:
    """Tell how far from 1 an image's correlation with a near duplicate may be, float32 (N,): less in a crowd.

    Measured on an even sample, so that an image's own copies are seldom among those it is compared with.
    """
    sample = bounds[:: -(-len(bounds) // SAMPLE)] if len(bounds) else bounds
    limits = np.ones(len(bounds), np.float32)
    if len(sample) > 2 * RANK:
        for start in range(0, len(bounds), BLOCK):
            upper = bounds[start : start + BLOCK] @ sample.T
            # The highest but RANK: where the image itself is in the sample, it is the highest.
            limits[start : start + BLOCK] = STANDS_OUT * (1 - np.partition(upper, -RANK - 1, axis=1)[:, -RANK - 1])
    return np.maximum(limits, 1 - NEARLY_EQUAL)


def _candidates(upper: Floats, alike: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns that reach `alike`, at most 32 of a row: those with the highest bound."""
    rows, columns = np.nonzero(upper >= alike)
    if len(rows) <= MOST_A_ROW * len(upper) or upper.shape[1] <= MOST_A_ROW:
        return rows, columns
    columns = np.argpartition(upper, -MOST_A_ROW, axis=1)[:, -MOST_A_ROW:]
    rows = np.repeat(np.arange(len(upper)), MOST_A_ROW)
    columns = columns.reshape(-1)
    reached = upper[rows, columns] >= alike
    return rows[reached], columns[reached]


def _bounding_features(thumbnails: Thumbnails) -> Floats:
    """Make vectors, float32 (N, 257), whose products are no less than the thumbnails' correlations."""
    features = np.empty((len(thumbnails), COARSE_SIDE**2 + 1), np.float32)
    for start in range(0, len(thumbnails), BLOCK):
        units, _ = _standardised(thumbnails[start : start + BLOCK])
        width = SIDE // COARSE_SIDE
        # The sum over a block by the root of its pixels is a projection: lengths and products stay comparable.
        coarse = _block_means(units, COARSE_SIDE).reshape(len(units), -1) * width
        features[start : start + BLOCK, :-1] = coarse
        features[start : start + BLOCK, -1] = np.sqrt(np.maximum(0, 1 - (coarse**2).sum(axis=1)))
    return features


def _standardised(thumbnails: Thumbnails) -> tuple[Floats, Floats]:
    """Take off the mean and divide by the length: float32 (n, 32, 32), and the deviations in grey levels, (n,)."""
    centred = thumbnails.astype(np.float32)
    centred -= centred.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=(1, 2)))
    return centred / lengths[:, None, None], lengths / SIDE


def _block_means(images: Floats, side: int) -> Floats:
    width = images.shape[1] // side
    return images.reshape(len(images), side, width, side, width).mean(axis=(2, 4))


def _compare(later: Thumbnails, first: Thumbnails, alike: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Compare thumbnails pair by pair, uint8 (n, 32, 32): their correlations, and which are near duplicates."""
    (a, a_deviation), (b, b_deviation) = _standardised(later), _standardised(first)
    similarity = np.einsum("nij,nij->n", a, b)
    a_detail, b_detail = _detail(a), _detail(b)
    a_length, b_length = (np.sqrt(np.einsum("nij,nij->n", part, part)) for part in (a_detail, b_detail))
    shared = np.einsum("nij,nij->n", a_detail, b_detail)
    same_detail = shared >= DETAIL_ALIKE * np.maximum(a_length * b_length, 1e-9)
    # Where there is next to no detail, rounding is what correlates: then only the grey levels themselves can tell.
    weak = np.minimum(a_length * a_deviation, b_length * b_deviation) < WEAK_DETAIL
    apart = np.sqrt(((later.astype(np.float32) - first.astype(np.float32)) ** 2).mean(axis=(1, 2)))
    return similarity, (similarity >= alike) & (same_detail | (weak & (apart <= SAME_LEVELS)))


def _detail(images: Floats) -> Floats:
    blurred = _block_means(images, BLUR_SIDE)
    width = SIDE // BLUR_SIDE
    return images - blurred.repeat(width, axis=1).repeat(width, axis=2)
