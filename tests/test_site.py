"""The documentation as a site: built strictly, without a network, in two languages, with nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import sightline
from helpers.pages import PAGES
from sightline.settings import flat_fields

ROOT = Path(__file__).parents[1]
pytest.importorskip("material", reason="the extra docs is not installed")
# Every connection is refused, before a name is looked up.
OFFLINE = """
import socket, sys

def refuse(*_, **__):
    raise OSError("the site is built without a network")

socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", OFFLINE, "build", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder


class Html(HTMLParser):
    """What a page asks for or leads to, by what it is, and the names of its places."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.language = ""
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort a tag's addresses."""
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "manifest"):
            self.parts.append(given["href"])
        self.parts += [given[name] for name in ("src", "srcset", "poster", "data") if name in given and tag != "a"]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {path: Html(path) for path in site.rglob("*.html")}


def test_no_page_asks_another_server_for_anything(site: Path, pages: dict[Path, Html]) -> None:
    foreign = {(page.name, part) for page, html in pages.items() for part in html.parts if urlsplit(part).netloc}
    styles = {
        (path.name, address)
        for path in site.rglob("*.css")
        for address in re.findall(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')]+)", path.read_text("utf-8"))
    }
    assert not foreign and not styles
    assert all(html.parts for html in pages.values())


def test_every_page_of_the_repository_is_on_the_site_and_every_link_leads_somewhere(
    site: Path, pages: dict[Path, Html]
) -> None:
    assert len(pages) > len(PAGES)
    wrong: list[str] = []
    for page, html in pages.items():
        for link in html.links if page.name != "404.html" else ():
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.is_file() or (place and target.suffix == ".html" and place not in pages[target].places):
                wrong.append(f"{page.relative_to(site)}: {link}")
    assert not wrong


def test_each_language_has_its_words_and_leads_to_the_other(site: Path, pages: dict[Path, Html]) -> None:
    assert pages[site / "train.html"].language == "en" and pages[site / "zh/train.html"].language == "zh"
    assert "zh/train.html" in pages[site / "train.html"].links
    assert "../train.html" in pages[site / "zh/train.html"].links
    chinese = [link for link in pages[site / "zh/train.html"].links if link.endswith("tune.html")]
    assert not chinese  # the navigation of one language only


def test_the_reference_has_every_name_and_setting(pages: dict[Path, Html], site: Path) -> None:
    assert {f"sightline.{name}" for name in sightline.__all__} <= pages[site / "python.html"].places
    assert set(flat_fields()) <= pages[site / "settings.html"].places
    assert "#sightline.UsageError" in pages[site / "python.html"].links  # from the prose of a docstring
    text = re.sub(r"<[^>]*>", "", (site / "python.html").read_text("utf-8"))
    assert not re.findall(r" = [A-Z_]{3,}\b", text)  # the names of defaults, where their values should be
    assert "folds: int = 5," in text and "Exit code 130." in text and "test_interval" in text


def test_both_languages_can_be_searched(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text("utf-8"))
    assert index["config"]["lang"] == ["en", "zh"]
    found = {document["location"]: document["text"] for document in index["docs"]}
    assert "settings.html#label_smoothing" in found
    # Chinese is divided into words, by spaces without width.
    assert "\u200b交叉\u200b" in found["zh/folds.html"] or "交叉\u200b验证" in found["zh/folds.html"]
