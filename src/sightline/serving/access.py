"""Who may call the server: by which names, from which pages, and below which path."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from sightline.errors import UsageError
from sightline.serving.problems import Problem

LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change and compute nothing; CORS decides who may read their answers."""
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class Access:
    """`hosts`: names that a request may call the server by, in lower case, so that no page elsewhere reaches it through
    a name of its own (DNS rebinding); None takes all. `origins`: pages elsewhere that may call it. `root_path`: the
    path below which a proxy shows the server, without a slash at its end.
    """

    hosts: Collection[str] | None = LOCAL_HOSTS
    origins: Collection[str] = ()
    root_path: str = ""

    def refusal(self, method: str, headers: Headers) -> Problem | None:
        """Say why a request is not answered; None where it is."""
        if self.hosts is not None and _name(headers.get("host", "")) not in self.hosts:
            return Problem(
                400,
                "the header Host names another machine; call this one by localhost or its address, or start it with "
                "--allow-host NAME",
            )
        if method not in SAFE_METHODS and self._is_foreign(headers):
            return Problem(403, "the request comes from a page of another origin; --allow-origin allows one")
        return None

    def path(self, scope: Scope) -> str:
        """Give a request's path without that of the application around this one, and without the root path."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == self.root_path or path.startswith(f"{self.root_path}/"):
            return path[len(self.root_path) :]
        return path

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser says that another page sends this. Programs say nothing of the kind."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self.origins:
            return False
        if site is not None:  # unlike Origin it tells also behind a proxy that changes Host
            return site not in ("same-origin", "none")
        if origin is None:
            return False
        try:
            place = urlsplit(origin).netloc.lower()
        except ValueError:
            return True
        named = _name(place) in (self.hosts or ()) and not is_local(_name(place))
        return not (named or (place and place == headers.get("host", "").lower()))


def is_local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def hosts_of(host: str, allowed: Collection[str] = ()) -> tuple[str, ...] | None:
    """Give the names that a server at this address may be called by, with those that are `allowed`.

    None for any, where others reach it and no name is given.
    """
    if not is_local(host) and not allowed:
        return None
    return (*LOCAL_HOSTS, f"[{host}]" if ":" in host else host.lower(), *allowed)


def check_host(host: str) -> None:
    """Raise UsageError for digits and dots that are no address, without asking a name server."""
    try:
        if set(host) <= set("0123456789."):
            socket.inet_aton(host)
    except OSError:
        raise no_address(host) from None


def no_address(host: str) -> UsageError:
    """The error for what names no machine."""
    return UsageError("--host", f"{host} is not an address", "a name or an address of this machine")


def host_name(text: str) -> str:
    """Give a name as the header Host has it. Raises UsageError for what is none."""
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not HOST_NAME.fullmatch(name):
        raise UsageError("--allow-host", f"{text} found", "a host name without a port, such as pictures.example.org")
    return name


def root_path(text: str) -> str:
    """Give a path without a slash at its end. Raises UsageError for what is none."""
    path = text.rstrip("/")
    if path and not ROOT_PATH.fullmatch(path):
        raise UsageError("--root-path", f"{text} found", "a path such as /classify")
    return path


def proxy_address(text: str) -> str:
    """Give an address or a network as it is. Raises UsageError for what is none."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError("--trust-proxy", f"{text} found", "an address or network such as 10.0.0.0/8") from None
    return text


def _name(host: str) -> str:
    """The name without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower()
