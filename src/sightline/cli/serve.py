"""`sightline serve`: a trained model behind HTTP, and a page to try it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from pydantic import ValidationError

from sightline.cli.flags import given, model_flags, setting_flags, typed
from sightline.cli.output import AS_TEXT, Output, print_json
from sightline.errors import UsageError, needs
from sightline.serving.settings import Limits
from sightline.settings import build_settings
from sightline.settings.merge import one_line

SERVE = Group("Serve", sort_key=1)
PACKAGES = ("starlette", "uvicorn", "h11", "python_multipart", "prometheus_client")
LIMITS = Group("Limits", sort_key=2)

if TYPE_CHECKING:
    from sightline.classifier import Classifier
    from sightline.settings import DeviceSettings

    DeviceFlags = Any
    LimitFlags = Any
    NO_DEVICE: Any = None
    NO_LIMITS: Any = None
else:
    DeviceFlags = setting_flags(names=("device", "threads"))
    NO_DEVICE = DeviceFlags()
    LimitFlags = model_flags(Limits, LIMITS)
    NO_LIMITS = LimitFlags()


def serve(
    model: Annotated[Path, Parameter(group=SERVE, help="A run's folder, a model file, or an ONNX file.")],
    /,
    *,
    host: Annotated[
        str, Parameter(group=SERVE, metavar="ADDRESS", help="Where to listen. Others need --allow-remote.")
    ] = "127.0.0.1",
    allow_remote: Annotated[
        bool, Parameter(negative="", group=SERVE, help="Let --host be an address that other machines reach.")
    ] = False,
    port: Annotated[int, Parameter(group=SERVE, metavar="N", help="The port; 0 takes any that is free.")] = 8000,
    allow_origin: Annotated[
        tuple[str, ...],
        Parameter(
            group=SERVE,
            metavar="ORIGIN",
            show_default=False,
            help="A page's origin elsewhere that may call it; can be given again.",
        ),
    ] = (),
    log: Annotated[
        bool, Parameter(negative="", group=SERVE, help="Write a line of JSON on stderr for each request.")
    ] = False,
    limit_flags: LimitFlags = NO_LIMITS,
    device_flags: DeviceFlags = NO_DEVICE,
    output: Output = AS_TEXT,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    limits, device = _limits(limit_flags), build_settings(None, given(device_flags)).device
    if not 0 <= port < 65536:
        raise UsageError("--port", f"{port} found", "a number from 0 to 65535")
    _check_origins(allow_origin)
    with needs("serve", "serve", *PACKAGES):
        from sightline.serving.app import create_app
        from sightline.serving.gate import to_stderr
        from sightline.serving.running import address, hosts_of, is_local, listen, run
    if not (allow_remote or is_local(host)):
        raise UsageError(
            "--host", f"{host} can be reached from other machines", advice="Add --allow-remote if that is meant."
        )
    with listen(host, port) as listener:
        with output.working():
            classifier = _load(model, device)
            app = create_app(
                classifier,
                limits,
                hosts=hosts_of(host),
                allow_origins=allow_origin,
                log=to_stderr if log else None,
            )
        url = address(listener)

        def tell() -> None:
            if output.json:
                print_json({"url": url, "port": listener.getsockname()[1], "max_batch": app.max_batch})
            else:
                print(f"{model} is served at {url}")
                print(f"Calls are answered in batches of up to {app.max_batch} pictures. Ctrl-C ends.")
            sys.stdout.flush()  # whoever started this waits for the address

        run(app, listener, started=tell)


def _limits(flags: Any) -> Limits:
    try:
        return Limits.model_validate(typed(flags))
    except ValidationError as error:
        raise one_line(error) from None


def _check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or "/" in rest:
            raise UsageError("--allow-origin", f"{origin} found", "an origin such as https://example.org")


def _load(model: Path, settings: DeviceSettings) -> Classifier:
    from sightline.classifier import load

    if settings.threads is not None:
        # Torch reads it when it is first loaded.
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    return load(model, device=settings.device, threads=settings.threads)
