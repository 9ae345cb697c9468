"""`sightline serve`: a trained model behind HTTP, and a page to try it."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, model_flags, setting_flags, typed
from sightline.cli.output import AS_TEXT, Output, print_json
from sightline.serving.settings import Limits

SERVE = Group("Serve", sort_key=1)
LIMITS = Group("Limits", sort_key=2)

if TYPE_CHECKING:
    from sightline import ServerInfo

    DeviceFlags = Any
    LimitFlags = Any
    NO_DEVICE: Any = None
    NO_LIMITS: Any = None
else:
    DeviceFlags = setting_flags(names=("device", "threads"))
    NO_DEVICE = DeviceFlags()
    LimitFlags = model_flags(Limits, LIMITS)
    NO_LIMITS = LimitFlags()


@Parameter(name="*")
@dataclass(frozen=True)
class ServerFlags:
    """Where it listens, to whom, and what it logs."""

    host: Annotated[
        str, Parameter(group=SERVE, metavar="ADDRESS", help="Where to listen. Others need --allow-remote.")
    ] = "127.0.0.1"
    allow_remote: Annotated[
        bool, Parameter(negative="", group=SERVE, help="Let --host be an address that other machines reach.")
    ] = False
    port: Annotated[int, Parameter(group=SERVE, metavar="N", help="The port; 0 takes any that is free.")] = 8000
    allow_origins: Annotated[
        tuple[str, ...],
        Parameter(
            group=SERVE,
            name="--allow-origin",
            metavar="ORIGIN",
            show_default=False,
            help="A page's origin elsewhere that may call it; can be given again.",
        ),
    ] = ()
    log: Annotated[
        bool, Parameter(negative="", group=SERVE, help="Write a line of JSON on stderr for each request.")
    ] = False


USUAL = ServerFlags()


def serve(
    model: Annotated[Path, Parameter(group=SERVE, help="A run's folder, a model file, or an ONNX file.")],
    /,
    *,
    server: ServerFlags = USUAL,
    limits: LimitFlags = NO_LIMITS,
    device: DeviceFlags = NO_DEVICE,
    output: Output = AS_TEXT,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stdout = sys.stdout

    def tell(info: ServerInfo) -> None:
        with contextlib.redirect_stdout(stdout):  # with --json, `working` has put stderr in its place
            if output.json:
                print_json(vars(info))
            else:
                print(f"{model} is served at {info.url}")
                print(f"Calls are answered in batches of up to {info.max_batch} pictures. Ctrl-C ends.")
        stdout.flush()  # whoever started this waits for the address

    with output.working():
        import sightline

        sightline.serve(model, started=tell, **typed(server), **typed(limits), **given(device))
