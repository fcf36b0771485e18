"""Checks a built site: every link inside it leads to a page and an anchor, and no page loads anything from a network.

Usage: python scripts/check_site.py build/site (exit code 1 where something is wrong)
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose target a browser loads by itself.
_LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """The anchors of a page, its links, and the resources that a browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.resources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the anchor and the targets of one tag."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            if (tag, name) in _LOADED:
                self.resources.append(value)
            elif tag == "a" and name == "href":
                self.links.append(value)


def problems(site: Path) -> list[str]:
    """One line for each dead link, dead anchor and resource outside the site."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} loads {target}" for target in page.resources if urlsplit(target).netloc]
        for target in {*page.links, *page.resources}:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            goal = (path.parent / unquote(url.path)).resolve() if url.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.is_file():
                found.append(f"{name} links to {target}, which is not there")
            elif goal in pages and unquote(url.fragment) not in pages[goal].anchors:
                found.append(f"{name} links to {target}, which has no such anchor")
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text.replace('"', "").replace("'", "") or "@import url(//" in text:
            found.append(f"{path.relative_to(site)} loads from a network")
    return found


def main(arguments: list[str]) -> int:
    """Print the problems of the site, and the numbers of pages and links."""
    site = Path(arguments[0]).resolve()
    pages = list(site.rglob("*.html"))
    if not pages:
        print(f"error: no pages in {site}; run make docs", file=sys.stderr)
        return 1
    wrong = problems(site)
    for line in wrong:
        print(line, file=sys.stderr)
    links = sum(len(Page(path.read_text(encoding="utf-8")).links) for path in pages)
    print(f"{len(pages)} pages, {links:,} links, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
