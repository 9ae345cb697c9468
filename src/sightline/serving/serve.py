"""`serve`: a trained model behind HTTP, from the files to the end. Free of starlette until it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sightline.errors import UsageError, needs, unknown
from sightline.serving.settings import Limits
from sightline.settings import build_settings
from sightline.settings.merge import flag_of, one_line

if TYPE_CHECKING:
    from sightline.classifier import Classifier

PACKAGES = ("starlette", "uvicorn", "h11", "python_multipart", "prometheus_client")


@dataclass(frozen=True)
class ServerInfo:
    """A running server: its address, its port, and the maximum number of pictures per batch."""

    url: str
    port: int
    max_batch: int


def serve(
    model: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_remote: bool = False,
    allow_hosts: Sequence[str] = (),
    allow_origins: Sequence[str] = (),
    root_path: str = "",
    trust_proxies: Sequence[str] = (),
    log: bool = False,
    device: str = "auto",
    threads: int | None = None,
    started: Callable[[ServerInfo], object] | None = None,
    **limits: Any,
) -> None:
    """Serve a model over HTTP, with a web page to try it, until SIGTERM or Ctrl-C; then finish all requests.

    `model`: a run's folder, a model file or an ONNX file. `port`: 0 picks a free one. `allow_remote`: allow a `host`
    that other machines can reach. `allow_hosts`: names by which the server may be called, such as that of a proxy;
    without any, a `host` that other machines can reach takes every name. `allow_origins`: origins of other web pages
    that may call the server, such as `"https://example.org"`. `root_path`: the path below which a proxy shows the
    server, such as `"/classify"`. `trust_proxies`: addresses of proxies whose X-Forwarded-For is believed. `log`: write
    a line of JSON to stderr for each request. `threads`: number of threads for the network; by default one per core.
    `started` is called with the address once the server accepts requests. `limits`: the limits of `sightline serve`,
    named like their flags, e.g. `max_images=4`. Signals work only in the main thread; in another thread, the server
    does not end.

    Needs the extra `serve`. Raises UsageError without it, for a wrong limit, port, name, path or origin and for a
    `host` that needs `allow_remote`, ResourceError if the port is in use or too few open files are allowed, the errors
    of `load`, and Interrupted after Ctrl-C.
    """
    checked = _limits(limits)
    compute = build_settings(None, {"device": device, "threads": threads}).device
    if not 0 <= port < 65536:
        raise UsageError("--port", f"{port} found", "a number from 0 to 65535")
    _check_origins(allow_origins)
    with needs("serve", "serve", *PACKAGES):
        from sightline.serving.access import check_host, host_name, hosts_of, is_local, proxy_address
        from sightline.serving.access import root_path as path_of
        from sightline.serving.app import create_app
        from sightline.serving.gate import to_stderr
        from sightline.serving.running import address, listen, run
    names, below = [host_name(name) for name in allow_hosts], path_of(root_path)
    proxies = [proxy_address(proxy) for proxy in trust_proxies]
    check_host(host)
    if not (allow_remote or is_local(host)):
        found = f"{host} can be reached from other machines"
        raise UsageError("--host", found, advice="Add --allow-remote to allow this.")
    with listen(host, port) as listener:
        classifier = _load(Path(model), compute.device, compute.threads)
        hosts, logged = hosts_of(host, names), to_stderr if log else None
        app = create_app(
            classifier, checked, hosts=hosts, allow_origins=allow_origins, root_path=below, log=logged
        )  # fmt: skip
        info = ServerInfo(address(listener), listener.getsockname()[1], app.max_batch)
        run(app, listener, trust_proxies=proxies, started=None if started is None else lambda: started(info))


def _limits(limits: Mapping[str, Any]) -> Limits:
    for name in limits:
        if name not in Limits.model_fields:
            raise unknown(flag_of(name), name, Limits.model_fields, listed_by="sightline serve --help")
    try:
        return Limits.model_validate(limits)
    except ValidationError as error:
        raise one_line(error) from None


def _check_origins(origins: Sequence[str]) -> None:
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or "/" in rest:
            raise UsageError("--allow-origin", f"{origin} found", "an origin such as https://example.org")


def _load(model: Path, device: str, threads: int | None) -> Classifier:
    from sightline.classifier import load

    if threads is not None:
        # Torch reads it when it is first loaded.
        os.environ["OMP_NUM_THREADS"] = str(threads)
    return load(model, device=device, threads=threads)
