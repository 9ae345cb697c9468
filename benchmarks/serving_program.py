"""Servers as programs of their own: started, watched for memory, ended."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """A running server."""

    port: int
    process: subprocess.Popen[str]
    max_batch: int = 0

    def memory(self) -> int:
        """Resident bytes, as Linux counts them."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server has ended")


@contextlib.contextmanager
def sightline(model: Path, *flags: str) -> Generator[Program]:
    """Run `sightline serve MODEL`."""
    command = [sys.executable, "-m", "sightline", "serve", str(model), "--port", "0", "--json", *flags]
    with _running(command) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        told = json.loads(line)
        yield Program(told["port"], process, told["max_batch"])


@contextlib.contextmanager
def constant() -> Generator[Program]:
    """Run the endpoint that answers a constant."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _running([sys.executable, str(HERE / "serving_constant.py"), str(port)]) as process:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield Program(port, process)


@contextlib.contextmanager
def _running(command: list[str]) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
