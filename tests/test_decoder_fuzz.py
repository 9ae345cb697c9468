"""2,000 damaged pictures of seven formats: each is refused or decoded to the right size, and nothing crashes."""

from __future__ import annotations

import json
import subprocess
import sys

COUNT = 2000

PROGRAM = """
import io, json, random, sys
import numpy as np
from PIL import Image
from sightline.data.decoder import decode
from sightline.data.preprocessing import unit_preprocessing
from sightline.errors import ImageError
from sightline.settings.data import Resizing

rng = random.Random(20)
values = np.random.default_rng(20).integers(0, 256, (6, 8, 4), dtype=np.uint8)
picture = Image.fromarray(values).resize((48, 36), Image.Resampling.BICUBIC)

def encode(kind, mode, **options):
    stream = io.BytesIO()
    picture.convert(mode).save(stream, kind, **options)
    return stream.getvalue()

seeds = [
    encode("JPEG", "RGB", quality=80), encode("JPEG", "CMYK"), encode("JPEG", "L", progressive=True),
    encode("PNG", "RGBA"), encode("PNG", "P"), encode("PNG", "L"),
    encode("WEBP", "RGB"), encode("WEBP", "RGBA", lossless=True),
    encode("GIF", "P"), encode("BMP", "RGB"),
    encode("TIFF", "RGB", compression="tiff_lzw"), encode("TIFF", "RGBA"), encode("TIFF", "1", compression="group4"),
    encode("TIFF", "RGB", compression="jpeg"), encode("AVIF", "RGB"), encode("AVIF", "RGBA", quality=100),
]

def mutate(content):
    data = bytearray(content)
    way = rng.randrange(5)
    if way == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 2, 5, 20))):
        # Headers decide most, so half of the damage is done there.
        place = rng.randrange(min(len(data), 80) if rng.random() < 0.5 else len(data))
        if way == 1:
            data[place] ^= 1 << rng.randrange(8)
        elif way == 2:
            data[place] = rng.choice((0, 1, 127, 128, 254, 255))
        elif way == 3:
            data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif len(data) > 30:
            del data[place : place + rng.randrange(1, 9)]
    return bytes(data)

refused = decoded = 0
for index in range(int(sys.argv[1])):
    size = (rng.randrange(1, 40), rng.randrange(1, 40), rng.choice((1, 3)))
    wanted = unit_preprocessing(size, Resizing(rng.choice(("squash", "crop", "pad"))))
    try:
        pixels = decode(mutate(rng.choice(seeds)), wanted)
    except ImageError as error:
        assert "\\n" not in str(error)
        refused += 1
    else:
        assert pixels.dtype == np.uint8 and pixels.shape == (wanted.height, wanted.width, wanted.channels)
        decoded += 1
print(json.dumps([refused, decoded]))
"""


def test_damaged_pictures_are_refused_or_decoded_and_never_crash():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(COUNT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refused, decoded = json.loads(done.stdout)
    assert refused + decoded == COUNT
    assert refused > COUNT // 4  # both happen, or the damage was none
    assert decoded > COUNT // 10
