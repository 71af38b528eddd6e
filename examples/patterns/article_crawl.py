"""A crawl of a site that follows its links; what goes wrong is a value: `python -m examples.patterns.article_crawl`.

The site is served by this program: a hundred pages, of which three are linked and not there, and one does not answer.
"""

import threading
import time
import urllib.request
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from examples.patterns.connection import connected
from scaler import as_completed

PAGES = 100
MISSING = (13, 57, 91)
SILENT = 42
PATIENCE_S = 2.0


class Site(BaseHTTPRequestHandler):
    """Page n links to pages 2n and 2n + 1."""

    def do_GET(self) -> None:
        """Serve a page."""
        page = int(self.path.removeprefix("/page"))
        if page == SILENT:
            time.sleep(2 * PATIENCE_S)
            return
        links = [f'<a href="/page{link}">next</a>' for link in (2 * page, 2 * page + 1) if link <= PAGES]
        self.send_response(404 if page in MISSING else 200)
        self.end_headers()
        self.wfile.write(f"<html><title>Page {page}</title>{''.join(links)}</html>".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
        """Say nothing."""


class Links(HTMLParser):
    """The title and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a link leads."""
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        """Note the title: the first text there is."""
        self.title = self.title or data


class Page(NamedTuple):
    """What was found at an address: an error has no title and no links."""

    url: str
    title: str | None
    links: tuple[str, ...]
    error: str | None = None


def scrape(url: str) -> Page:
    """Read a page; one that cannot be read is told, and ends nothing."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:  # noqa: S310  # of this program's own site
            parser = Links()
            parser.feed(response.read().decode())
    except OSError as error:
        return Page(url, None, (), str(error))
    return Page(url, parser.title, tuple(parser.links))


with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server, connected(2, 5) as client:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    pages: list[Page] = []
    crawl = as_completed([client.submit(scrape, f"{root}/page1")])
    for future in crawl:
        pages.append(future.result())
        crawl.update(client.submit(scrape, root + link) for link in pages[-1].links)
    server.shutdown()

read = [page for page in pages if page.error is None]
print(f"{len(read)} pages read, {sum(len(page.links) for page in read)} links, first title {pages[0].title!r}")
for page in sorted(page for page in pages if page.error is not None):
    print(f"{page.url.removeprefix(root)}: {page.error}")
