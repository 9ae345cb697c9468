"""What MkDocs does besides: files outside docs/, the two languages, and pages that are made from the code."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page
from settings_page import listed

ROOT = Path(__file__).parents[2]
OUTSIDE = "repository"
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)((?:#[^)\s]*)?)\)")
SETTINGS = "<!-- settings -->"


# Files outside docs/


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what pages link to outside docs/, and what that links to: pages as pages, other files as they are."""
    wanted = [_in_repository(file.src_uri) for file in files.documentation_pages()]
    seen = set(wanted)
    while wanted:
        page = wanted.pop()
        for _, target, _ in LINK.findall((ROOT / page).read_text("utf-8")):
            found = _target(page, target)
            if found in seen or found.startswith("docs/") or not (ROOT / found).is_file():
                continue
            seen.add(found)
            files.append(File.generated(config, _on_site(found), abs_src_path=str(ROOT / found)))
            if found.endswith(".md"):
                wanted.append(found)
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Let links lead to where their targets are on the site, and list the settings where a page asks for them."""
    here = _in_repository(page.file.src_uri)
    if SETTINGS in markdown:
        markdown = markdown.replace(SETTINGS, listed())

    def led(link: re.Match[str]) -> str:
        found = _target(here, link[2])
        if ":" in link[2] or not (ROOT / found).is_file():
            return link[0]
        there = posixpath.relpath(_on_site(found), posixpath.dirname(page.file.src_uri) or ".")
        return f"[{_words(link[1], found)}]({there}{link[3]})"

    return LINK.sub(led, markdown)


def _words(text: str, target: str) -> str:
    """What a link says: the title of the page where it has only the name of the file."""
    if not text.endswith(".md") or posixpath.basename(text) != posixpath.basename(target):
        return text
    title = re.search(r"^# (.+)$", (ROOT / target).read_text("utf-8"), re.MULTILINE)
    return title[1] if title else text


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _in_repository(on_site: str) -> str:
    outside = on_site.startswith(f"{OUTSIDE}/")
    return on_site.removeprefix(f"{OUTSIDE}/") if outside else f"docs/{on_site}"


def _on_site(in_repository: str) -> str:
    if in_repository.startswith("docs/"):
        return in_repository.removeprefix("docs/")
    name = posixpath.basename(in_repository)
    return f"{OUTSIDE}/{in_repository}" + ("" if "." in name else ".txt")


# Two languages


def on_page_context(context: dict[str, Any], *, page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """Give a page the words, the navigation and the counterpart of its language."""
    is_chinese = _is_chinese(page.file.src_uri)
    config.theme["language"] = "zh" if is_chinese else "en"
    chinese = [item for item in nav.items if isinstance(item, Section) and item.title == "中文"]
    items = chinese[0].children if is_chinese else [item for item in nav.items if item not in chinese]
    homes = [found for found in nav.pages if found.file.src_uri == ("zh/README.md" if is_chinese else "README.md")]
    context["nav"] = Navigation(items, nav.pages)
    context["nav"].homepage = homes[0]
    by_name = {found.file.src_uri: found for found in nav.pages}
    for alternate in config.extra["alternate"]:
        wanted = _counterpart(page.file.src_uri, alternate["lang"])
        home = "zh/README.md" if alternate["lang"] == "zh" else "README.md"
        alternate["link"] = by_name.get(wanted, by_name[home]).url
    return context


def _is_chinese(name: str) -> bool:
    return name.startswith("zh/") or name.endswith(".zh-CN.md")


def _counterpart(name: str, language: str) -> str:
    """The same page in a language, by its name; whether there is one is not known here."""
    if (language == "zh") == _is_chinese(name):
        return name
    if name.startswith(f"{OUTSIDE}/"):
        return name.replace(".zh-CN.md", ".md") if language == "en" else name.replace(".md", ".zh-CN.md")
    return name.removeprefix("zh/") if language == "en" else f"zh/{name}"
