"""The device: its precision, the CPU's threads, and what to say when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.errors import ResourceError, UsageError
from sightline.installation import version as sightline_version
from sightline.runs.records import Environment
from sightline.settings import DeviceSettings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SELF_TEST_TOLERANCE = 0.02
# malloc.h's numbers of what mallopt can set.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_INT = 2**31 - 1


@dataclass(frozen=True)
class Compute:
    """A device with the precision training uses on it: fp32, bf16 or fp16."""

    device: torch.device
    precision: str

    def autocast(self) -> torch.autocast:
        """The context of a training step's forward pass; does nothing in fp32."""
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "fp32")

    @property
    def product_dtype(self) -> torch.dtype:
        """The type of an optimizer's own matrix products: training's, but for float16, whose range is too small."""
        return DTYPES["fp32" if self.precision == "fp16" else self.precision]


def resolve(settings: DeviceSettings) -> Compute:
    """Choose device and precision, and set threads and determinism for this process.

    Raises UsageError for a device this machine or this torch does not have, and for what that device cannot do.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports a lot
        torch.use_deterministic_algorithms(settings.deterministic)
    device = find_device(settings.device)
    if settings.execution == "graph" and device.type != "cuda":
        raise UsageError("--execution", f"graph needs an NVIDIA GPU, and the device is {device}", "eager or compile")
    if device.type == "cpu":
        keep_freed_memory()
    elif str(device).startswith("cuda:"):
        torch.cuda.set_device(device)  # streams, generators and events are made on the current one
    return Compute(device, _precision(settings.precision, device))


def keep_freed_memory() -> bool:
    """Let this process keep the large blocks it frees, for the next step to take; whether the C library can do so.

    glibc gives blocks above 32 MB at once, and smaller ones when they lie at the end, back to the system, which then
    hands out and clears the same pages again at every step. See `mallopt(3)`.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, LARGEST_INT) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def find_device(name: str) -> torch.device:
    """The device called `name`; auto is the first GPU, then Apple's, then the CPU."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not cuda:
        build = "torch was built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU answers"
        raise UsageError("--device", f"{name} cannot be used, since {build}", advice="Use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError("--device", f"{name} does not exist", f"a GPU number below {torch.cuda.device_count()}")
    if device.type == "mps" and not mps:
        raise UsageError(
            "--device", "mps cannot be used, since this machine has no Apple GPU", advice="Use --device cpu."
        )
    return device


def _precision(asked: str, device: torch.device) -> str:
    if asked != "auto":
        if asked == "fp16" and device.type == "cpu":
            raise UsageError("--precision", "fp16 does not work on a CPU", "fp32 or bf16")
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 products, and a small convolution in bf16 agrees with fp32 within 2 %."""
    read = getattr(torch.cpu, "get_capabilities", None)
    if read is not None:
        found = read()
        native = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    else:  # torch 2.11
        native = bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return native and _bf16_agrees()


def _bf16_agrees() -> bool:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 16, 12, 12, generator=generator).contiguous(memory_format=torch.channels_last)
    kernels = torch.randn(32, 16, 3, 3, generator=generator, requires_grad=True)
    gradients: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            output = torch.nn.functional.conv2d(images, kernels)
        (gradient,) = torch.autograd.grad(output.float().square().mean(), kernels)
        outputs.append(output.detach().float())
        gradients.append(gradient)
    return all(float((a - b).norm()) <= SELF_TEST_TOLERANCE * float(a.norm()) for a, b in (outputs, gradients))


def channels_last(module: nn.Module) -> nn.Module:
    """The same module with its kernels channels-last in memory."""
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A tensor over the same memory, which is only read: torch warns of read-only arrays, such as those of files."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device, without waiting for the work that the device still has to do.

    A copy to a GPU from memory that is not pinned would wait for all that was queued before it.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def mixed_seed(*numbers: int) -> int:
    """One well-mixed 64-bit seed from several whole numbers, e.g. (seed, step)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed the global generators that work on `device` draws from: the CPU's and, if it is another, its own.

    torch.manual_seed would also queue a seeding, with a stack trace, for every kind of GPU that is not there.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextlib.contextmanager
def full_precision() -> Generator[None]:
    """Float32 as float32: no autocast and no TF32, so that an answer does not depend on the batch it came in."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


@contextlib.contextmanager
def explain_memory(what: str, advice: str = "Use a smaller --batch-size or --image-size.") -> Generator[None]:
    """Turn every form of 'out of memory' into one line with what helps."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceError(what, "memory ran out", advice=advice) from error
    except RuntimeError as error:
        text = str(error).lower()
        if "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text:
            raise ResourceError(what, "memory ran out", advice=advice) from error
        raise


def environment(compute: Compute) -> Environment:
    """What a result may depend on."""
    gpu = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else None
    return Environment(
        sightline=sightline_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=version("numpy"),
        pillow=version("pillow"),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        device=str(compute.device),
        gpu=gpu,
        precision=compute.precision,
    )


def processor_name() -> str:
    """The processor's name, as the system tells it."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
