"""Broken pictures and broken HTTP at a server: `python benchmarks/serving_fuzz.py MODEL`.

20,000 pictures of all formats with bytes changed, cut, doubled or lengths made absurd, and 5,000 requests that are not
quite HTTP. Passes if every answer is 200, 4xx or 503 (or the connection is closed where there was no request), the same
process answers at the end, and its memory is back within 512 MiB of what it was at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import random
import time
from pathlib import Path

from PIL import Image

from serving_client import Connection, request
from serving_program import sightline

CONNECTIONS = 8
PATIENCE = 15.0
MIB = 2**20
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MODES = {
    "L": FORMATS,
    "RGB": FORMATS,
    "P": ("PNG", "GIF", "BMP", "TIFF"),
    "RGBA": ("PNG", "WEBP"),
    "1": ("PNG", "TIFF"),
}


def whole_pictures() -> list[bytes]:
    """Draw a picture in every format and mode, some of a good size."""
    noise = Image.effect_noise((96, 96), 80)
    found: list[bytes] = []
    for mode, formats in MODES.items():
        for kind in formats:
            for side in (9, 300):
                stream = io.BytesIO()
                noise.resize((side, side)).convert(mode).save(stream, kind)
                found.append(stream.getvalue())
    return found


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Break a picture in one or several ways."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5))):
        if not data:
            break
        at = dice.randrange(len(data))
        match dice.randrange(7):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + dice.randrange(1, 50)]
            case 3:
                data[at:at] = dice.randbytes(dice.randrange(1, 50))
            case 4:
                data[at : at + 4] = dice.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff")
                )
            case 5:
                # Headers hold sizes and offsets, so most of what can go wrong begins there.
                data[dice.randrange(min(64, len(data)))] = dice.randrange(256)
            case _:
                data += data[: dice.randrange(1, 2000)]
    return bytes(data)


def form(parts: list[bytes], dice: random.Random) -> bytes:
    """Put pictures into a form that is often a little damaged."""
    boundary = b"edge"
    body = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + part + b"\r\n"
        for part in parts
    )
    body += b"--edge--\r\n"
    if dice.random() < 0.5:
        body = mutated(body, dice)
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=" + boundary
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def malformed(picture: bytes, dice: random.Random) -> bytes:
    """Write a request that is not quite HTTP."""
    head = [
        dice.choice((b"POST", b"GET", b"PUT", b"post", b"\x00", b"CONNECT", b"OPTIONS", b"A" * 300)),
        b" ",
        dice.choice(
            (b"/v1/predict", b"/", b"*", b"//x", b"/%ff%00", b"http://x/", b"/" + b"a" * dice.choice((9, 70_000)))
        ),
        b"?top=" + dice.choice((b"1", b"-1", b"\xff", b"9" * 400)) if dice.random() < 0.3 else b"",
        b" ",
        dice.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"http/1.1")),
        dice.choice((b"\r\n", b"\n", b"\r\r\n")),
    ]
    fields = [
        b"Host: localhost",
        b"Host: evil",
        b"Content-Type: image/png",
        b"Content-Type: multipart/form-data; boundary=" + b"-" * dice.randrange(400),
        b"Content-Length: %d" % dice.choice((0, 1, len(picture), 10**12)),
        b"Content-Length: -5",
        b"Content-Length: 5, 6",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Expect: 100-continue",
        b"Connection: Upgrade\r\nUpgrade: websocket",
        b"Content-Encoding: gzip",
        b"X: " + b"y" * dice.choice((1, 100, 100_000)),
        b" folded: x",
        b"No colon",
        b"\xff\xfe: \x00",
    ]
    head += [line + b"\r\n" for line in dice.choices(fields, k=dice.randrange(6))]
    body = dice.choice((picture, b"", b"5\r\nabcde\r\n0\r\n\r\n", b"fffffffffff\r\nx", b"zz\r\n", dice.randbytes(99)))
    message = b"".join([*head, b"\r\n", body])
    return mutated(message, dice) if dice.random() < 0.3 else message


async def raw(port: int, message: bytes) -> int:
    """Send bytes and say no more; the status of the answer, 0 where the connection is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.write_eof()
            head = await asyncio.wait_for(reader.read(64), PATIENCE)
            while head.startswith(b"HTTP/1.1 100"):
                head = (await asyncio.wait_for(reader.read(64), PATIENCE)).lstrip()
            return int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0
        return 0
    finally:
        writer.close()


async def attack(port: int, pictures: int, requests: int, seed: int) -> dict[str, dict[int, int]]:
    """Send everything; the statuses of both kinds."""
    dice = random.Random(seed)
    whole = whole_pictures()
    found: dict[str, dict[int, int]] = {"pictures": {}, "requests": {}}

    async def send_pictures(count: int) -> None:
        connection = Connection(port)
        for number in range(count):
            if number % 10 == 9:
                message = form([mutated(dice.choice(whole), dice) for _ in range(dice.randrange(1, 5))], dice)
            else:
                message = request("/v1/predict", mutated(dice.choice(whole), dice))
            status, _ = await connection.ask(message)
            found["pictures"][status] = found["pictures"].get(status, 0) + 1
        connection.close()

    async def send_requests(count: int) -> None:
        for _ in range(count):
            status = await raw(port, malformed(dice.choice(whole[:8]), dice))
            found["requests"][status] = found["requests"].get(status, 0) + 1

    def shares(count: int) -> list[int]:
        return [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]

    await asyncio.gather(*map(send_pictures, shares(pictures)))
    await asyncio.gather(*map(send_requests, shares(requests)))
    return found


def main() -> None:
    """Attack, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sound = request("/v1/predict", whole_pictures()[0])
    with sightline(arguments.model, "--receive-seconds", "2") as program:

        async def healthy() -> int:
            connection = Connection(program.port)
            status, _ = await connection.ask(sound)
            connection.close()
            return status

        if asyncio.run(healthy()) != 200:
            raise SystemExit("it does not answer a sound picture")
        rest = program.memory()
        start = time.monotonic()
        found = asyncio.run(attack(program.port, arguments.pictures, arguments.requests, arguments.seed))
        seconds = time.monotonic() - start
        time.sleep(3)
        after = program.memory()
        same = program.process.poll() is None and asyncio.run(healthy()) == 200
    for kind, statuses in found.items():
        told = ", ".join(f"{status or 'closed'}: {count:,}" for status, count in sorted(statuses.items()))
        print(f"{kind:9} {sum(statuses.values()):,}  ({told})")
    growth = (after - rest) / MIB
    print(
        f"{seconds:.0f} s; memory {rest / MIB:.0f} MiB at rest, {growth:+.0f} MiB after; {'alive' if same else 'DEAD'}"
    )
    allowed = {200, 503, *range(400, 500)}
    wrong = set(found["pictures"]) - allowed | set(found["requests"]) - allowed - {0}
    if wrong or not same or growth > 512:
        raise SystemExit(f"failed: statuses {sorted(wrong)}")
    print("passed")


if __name__ == "__main__":
    main()
