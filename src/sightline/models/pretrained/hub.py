"""Weights by name: timm's copies of torchvision's ImageNet weights on the Hugging Face hub, downloaded once.

Nothing but the file is asked for: no token is sent and the library's telemetry is off. The files stay in that
library's own cache (HF_HOME), where a later run, or timm, finds them without a network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from sightline.errors import FileError, UsageError
from sightline.files.atomic import explain_disk
from sightline.installation import install_command
from sightline.recipes.packaged_weights import IMAGENET

NAME = IMAGENET
REPOSITORIES = {f"resnet{depth}": f"timm/resnet{depth}.tv_in1k" for depth in (18, 34, 50, 101, 152)} | {
    f"efficientnet-lite{number}": f"timm/tf_efficientnet_lite{number}.in1k" for number in range(5)
}
FILE = "model.safetensors"


def repository(architecture: str | None, model: str) -> str:
    """Name the repository of an architecture, by its preset's name; `model` is what the user calls it.

    Raises FileError where there is none.
    """
    if architecture in REPOSITORIES:
        return REPOSITORIES[architecture]
    raise FileError(
        f"--pretrained {NAME}",
        f"there are no weights by this name for {model}",
        f"one of {', '.join(REPOSITORIES)}",
        "For alexnet and googlenet-bn, give torchvision's .pth file.",
    )


def download(repository: str, file: str = FILE, size: int | None = None) -> Path:
    """Give a file of the repository, from the cache or the network; `size` is about what to expect, in bytes.

    Raises UsageError where huggingface_hub is not installed, FileError where the file cannot be had, and ResourceError
    where it cannot be written.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise UsageError(
            f"--pretrained {NAME}",
            "huggingface_hub, which downloads it, is not installed",
            advice=f"Run {install_command('pretrained')} to install it, or give a file.",
        ) from None
    with _quiet():
        address = huggingface_hub.hf_hub_url(repository, file)
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, token=False, local_files_only=True))
        except errors.LocalEntryNotFoundError:
            pass
        try:
            # Asked once, since the download would try for half a minute to reach a hub that is not there.
            huggingface_hub.get_hf_file_metadata(address, token=False)
            return Path(huggingface_hub.hf_hub_download(repository, file, token=False))
        except Exception as error:  # its own kinds, and those of whichever HTTP library it is built on
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                with explain_disk(Path(constants.HF_HUB_CACHE)):
                    raise
            raise FileError(
                f"--pretrained {NAME}",
                f"{repository} is not here and cannot be downloaded ({_reason(error)})",
                advice=f"Connect to the network, or give --pretrained a copy of {address}{_about(size)}.",
            ) from error


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep the library from telling its makers of this program, and from warnings of its own on stderr."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    telemetry, verbosity = constants.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.set_verbosity_error()
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        logging.set_verbosity(verbosity)


def _about(size: int | None) -> str:
    return "" if size is None else f", about {size / 1e6:,.0f} MB"


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return f"HTTP {status}" if status is not None else type(error).__name__
