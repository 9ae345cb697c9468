"""`sightline serve`: serve a trained model over HTTP, with a page to try it."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, model_flags, setting_flags, typed
from sightline.cli.output import AS_TEXT, Output, print_json, say
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
    """The address, access and log of the server."""

    host: Annotated[
        str, Parameter(group=SERVE, metavar="ADDRESS", help="Address to listen on. See --allow-remote.")
    ] = "127.0.0.1"
    allow_remote: Annotated[
        bool, Parameter(negative="", group=SERVE, help="Allow a --host that other machines can reach.")
    ] = False
    port: Annotated[int, Parameter(group=SERVE, metavar="N", help="Port; 0 picks a free one.")] = 8000
    allow_origins: Annotated[
        tuple[str, ...],
        Parameter(
            group=SERVE,
            name="--allow-origin",
            metavar="ORIGIN",
            show_default=False,
            help="Origin of another web page that may call the server; can be repeated.",
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
                say(f"{model} is served at {info.url}")
                say(f"Requests are processed in batches of up to {info.max_batch} pictures. Ctrl-C stops the server.")
        stdout.flush()  # whoever started this waits for the address

    with output.working():
        import sightline

        sightline.serve(model, started=tell, **typed(server), **typed(limits), **given(device))
