"""The device room: what it changes in this process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from sightline.device import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use():
    torch.empty(16 * 2**20).fill_(1)
for _ in range(16):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_kept_memory_is_not_handed_out_and_cleared_again() -> None:
    faults: dict[str, int] = {}
    for side in ("plain", "keep"):
        done = subprocess.run([sys.executable, "-c", FAULTS, side], capture_output=True, text=True, check=True)
        faults[side] = int(done.stdout)
    if faults["plain"] < 100:
        pytest.skip("this system gives memory in pieces too large to count")
    assert faults["keep"] < faults["plain"] / 20
