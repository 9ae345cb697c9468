"""Standard streams that are closed, full, of another encoding or without a reader; and Ctrl-C at every moment."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sightline
from sightline.training.reporter import Lines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells and signals are those of POSIX")

TRAIN = (
    "train synthetic --synthetic-count 60 --synthetic-classes 3 --image-size 8 --channels 1 --device cpu --model cnn"
)
TRAIN += " --kernel 3 --conv-widths 4,8 --hidden 8 --batch-size 16"
# What a shell does for a program in the foreground, whatever the tests themselves run in.
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def shell(line, folder, **environment):
    """Run a line of bash, in which `sightline` is this one's."""
    program = f"sightline() {{ '{sys.executable}' -m sightline \"$@\"; }}\n"
    done = subprocess.run(
        ["bash", "-c", program + line], cwd=folder, capture_output=True, check=False, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr and b"internal error" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-"])
def test_closed_streams_are_no_error(closed, tmp_path):
    done = shell(f"sightline recipes {closed}; echo $? >code", tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    assert (done.stdout != b"") is (closed == "<&-")
    shell(f"sightline recipes nonsense {closed}; echo $? >code", tmp_path)
    assert (tmp_path / "code").read_text() == "2\n"


def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path):
    code = "from sightline.cli.streams import prepare_streams; prepare_streams(); import os; f = open('file', 'w');"
    code += "os.write(1, b'a C library prints this'); f.close()"
    subprocess.run(["bash", "-c", f"'{sys.executable}' -c \"{code}\" >&-"], cwd=tmp_path, check=True)
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told(tmp_path):
    done = shell("sightline recipes >/dev/full; echo $?", tmp_path)
    assert done.stdout == b"6\n"
    assert done.stderr.startswith(b"error: stdout: it cannot be written (no space left on device).")
    assert done.stderr.count(b"\n") == 1
    assert shell("sightline recipes nonsense 2>/dev/full; echo $?", tmp_path).stdout == b"2\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk", "utf-8:strict"])
def test_no_encoding_refuses_a_name(encoding, tmp_path):
    for name in ("猫", "café", "\u202e"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{name}{number}.png")
    bare = encoding.partition(":")[0]
    table = shell("sightline check . --no-near; echo $?", tmp_path, PYTHONIOENCODING=encoding)
    assert table.stdout.endswith(b"\n0\n")
    table.stdout.decode(bare)
    told = shell("sightline check . --no-near --json", tmp_path, PYTHONIOENCODING=encoding)
    (part,) = json.loads(told.stdout.decode(bare))["parts"].values()
    assert {*part["classes"]} == {"猫", "café", "\u202e"}
    assert b"\xe2\x80\xae" not in table.stdout + told.stdout


def test_training_is_done_though_nobody_reads_its_progress(tmp_path):
    done = shell(f"sightline {TRAIN} --epochs 40 2>&1 | head -1 >first; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.stdout, done.stderr) == (b"0\n", b"")
    (found,) = sightline.list_runs(tmp_path / "runs").runs
    assert (found.state, found.epochs) == ("done", 40)
    assert (tmp_path / "first").read_text().count("\n") == 1


class Leaves(io.StringIO):
    """A stream whose reader leaves after a line."""

    def write(self, text):
        if self.getvalue().count("\n"):
            raise BrokenPipeError
        return super().write(text)


def test_in_python_too_a_reader_that_leaves_ends_no_training(monkeypatch, tmp_path):
    settings = {"epochs": 2, "synthetic_count": 30, "image_size": 8, "model": "cnn", "threads": 1, "runs": tmp_path}
    left = Leaves()
    monkeypatch.setattr(sys, "stderr", left)
    assert sightline.train("synthetic", **settings).epochs == 2
    assert left.getvalue().count("\n") == 1
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    Lines(sys.stderr).note("caf\u00e9 \x1b[31m")
    sys.stderr.seek(0)
    assert sys.stderr.read() == "caf\\xe9 \\x1b[31m\n"
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    assert sightline.train("synthetic", **settings).epochs == 2


def interrupted(code, delay, folder):
    """The exit code and stderr of `python -c code`, interrupted after so many seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{HEARS_CTRL_C}\n{code}"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as program:  # fmt: skip
        program.stdout.readline()  # Python itself has started
        time.sleep(delay)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=60)
    return program.returncode, err.decode()


MAIN = """
import os, sys
os.write(1, b"begun\\n")
sys.argv = ["sightline", *{words!r}]
from sightline.__main__ import main
main()
"""


def test_ctrl_c_is_exit_code_130_whenever_it_comes(tmp_path):
    words = [*TRAIN.split(), "--epochs", "100000", "--quiet"]
    draw = random.Random(0)
    delays = [0.002, 0.01, 0.03, *(draw.uniform(0.03, 2.5) for _ in range(9))]
    for delay in delays:
        code, err = interrupted(MAIN.format(words=words), delay, tmp_path)
        assert code in (130, -signal.SIGINT), (delay, code, err)
        if code == 130:  # else the signal came before the first line of the program itself
            assert "Traceback" not in err and err.count("\n") <= 1, (delay, err)


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "numpy._core.multiarray", "torch._C", "pydantic", "yaml"])
def test_ctrl_c_within_an_import_waits_for_its_end(module, tmp_path):
    code = textwrap.dedent("""
        class Presses:
            def find_spec(self, name, path=None, target=None):
                if name == NAME:
                    sys.meta_path.remove(self)
                    os.kill(os.getpid(), signal.SIGINT)
        import os, signal, sys
        sys.meta_path.insert(0, Presses())
        os.write(1, b"begun\\n")
        sys.argv = ["sightline", *WORDS]
        from sightline.__main__ import main
        main()
    """)
    words = [*TRAIN.split(), "--epochs", "100000", "--quiet"]
    code = code.replace("NAME", repr(module)).replace("WORDS", repr(words))
    done = subprocess.run(
        [sys.executable, "-c", f"{HEARS_CTRL_C}\n{code}"], cwd=tmp_path, capture_output=True, timeout=60, check=False,
        text=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


def test_ctrl_c_that_python_would_drop_is_raised_again(tmp_path):
    code = textwrap.dedent("""
        import os, signal, time
        from sightline.cli.interrupts import catch_interrupts
        class Drops:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
        catch_interrupts()
        os.write(1, b"begun\\n")
        try:
            drops = Drops()
            del drops
            time.sleep(20)
        except KeyboardInterrupt:
            os._exit(7)
    """)
    done = subprocess.run(
        [sys.executable, "-c", f"{HEARS_CTRL_C}\n{code}"], cwd=tmp_path, capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (7, b"")


def test_ignored_interrupts_stay_ignored():
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "from sightline.cli.interrupts import catch_interrupts, end_at_interrupts\n"
    code += "catch_interrupts(); end_at_interrupts(); assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    subprocess.run([sys.executable, "-c", code], check=True)
