"""`sightline serve`: a trained model behind HTTP, and a page to try it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from pydantic import ValidationError

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json
from sightline.errors import UsageError
from sightline.serving.settings import Limits
from sightline.settings.merge import flag_of

SERVE = Group("Serve", sort_key=1)
LIMITS = Group("Limits", sort_key=2)

if TYPE_CHECKING:
    DeviceFlags = Any
    LimitFlags = Any
    NO_DEVICE: Any = None
    NO_LIMITS: Any = None
else:
    DeviceFlags = setting_flags(names=("device", "threads"))
    NO_DEVICE = DeviceFlags()

    def _limit_flags() -> type[Any]:
        """Make a dataclass with a flag for each limit, None where not given."""
        fields = []
        for name, info in Limits.model_fields.items():
            number = "X" if info.annotation is float else "N"
            default = f" [{info.default:g}]" if info.default is not None else ""
            about = f"{info.description}{default}"
            parameter = Parameter(name=flag_of(name), help=about, group=LIMITS, metavar=number, show_default=False)
            fields.append((name, Annotated[str | None, parameter], None))
        # cyclopts takes a class of module `types`, where make_dataclass would put it, for a built-in.
        return Parameter(name="*")(
            make_dataclass("LimitFlags", fields, namespace={"__module__": __name__}, frozen=True)
        )

    LimitFlags = _limit_flags()
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
    limits = _limits(limit_flags)
    if not 0 <= port < 65536:
        raise UsageError("--port", f"{port} found", "0 to 65535")
    _check_origins(allow_origin)
    try:
        from sightline.serving.app import create_app
        from sightline.serving.gate import to_stderr
        from sightline.serving.running import address, hosts_of, is_local, listen, run
    except ModuleNotFoundError as error:
        raise UsageError("serve", f"{error.name} is not installed", advice="pip install 'sightline[serve]'") from error
    if not (allow_remote or is_local(host)):
        raise UsageError(
            "--host", f"{host} can be reached from other machines", advice="add --allow-remote if that is meant"
        )
    with listen(host, port) as listener:
        with output.working():
            classifier = _load(model, given(device_flags))
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
                print(f"{model} is served at {url}", f"Up to {app.max_batch} pictures at once. Ctrl-C ends.", sep="\n")
            sys.stdout.flush()  # whoever started this waits for the address

        run(app, listener, started=tell)


def _limits(flags: Any) -> Limits:
    typed = {name: value for name, value in asdict(flags).items() if value is not None}
    try:
        return Limits.model_validate(typed)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        expected = first["msg"].replace("Input should be", "it should be")
        raise UsageError(flag_of(str(first["loc"][0])), f"{first['input']!r} found", expected) from None


def _check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or "/" in rest:
            raise UsageError("--allow-origin", f"{origin} found", "an origin such as https://example.org")


def _load(model: Path, settings: dict[str, Any]) -> Any:
    from sightline.classifier import load

    typed = settings.pop("threads", None)
    if typed is None:
        return load(model, **settings)
    if not str(typed).isdigit() or int(typed) < 1:
        raise UsageError("--threads", f"{typed!r} found", "a whole number, at least 1")
    # Torch reads it when it is first loaded.
    os.environ["OMP_NUM_THREADS"] = str(typed)
    return load(model, threads=int(typed), **settings)
