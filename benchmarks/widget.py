"""What the widget costs a page that shows no survey: bytes, requests, and milliseconds of the main thread.

Two pages of a site of another origin, alike but for the script tag, are loaded in turn in Chromium, each time by a visitor who
was never there before. The widget waits for its trigger there, as on nearly every page that carries it. Its bytes and requests are
what the browser says of that page; its milliseconds are all that the main thread did beside what it did for the page without it.
Each is held against what docs/widget.md promises.
"""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

from benchmarks.stage import Stage

BYTES, REQUESTS, MS = 6 * 1024, 1, 5
TEXT = "<p>Tea from the mountains, by sea and by rail. <a href='/tea'>More</a></p>" * 200
ATTRIBUTES = (
    "data-touchpoint=bench data-trigger=exit data-url='/* !/checkout*' data-sample=1 data-cap=2/30d data-rest=7d"
)
LOADED = """() => new Promise((done) => requestIdleCallback(() => setTimeout(() => done(
  performance.getEntriesByType('resource').map((one) => [one.name, one.encodedBodySize])), 200)))"""


def run(stage: Stage, quick: bool = False) -> list[dict[str, Any]]:
    """Bytes, requests and milliseconds of one page view, medians of rounds that alternate."""
    from playwright.sync_api import sync_playwright

    rounds = 3 if quick else 41
    ours = f"http://127.0.0.1:{stage.serve()}"
    site = _Site(f"<script src='{ours}/embed.js' {ATTRIBUTES} async></script>")
    with_it: list[tuple[int, int, float]] = []
    without: list[tuple[int, int, float]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for round_ in range(rounds + 1):
            plain, costs = _visit(browser, f"{site.url}/plain"), _visit(browser, f"{site.url}/widget")
            if round_:  # the first one warms up
                without.append(plain)
                with_it.append(costs)
        browser.close()
    site.stop()
    stage.note_memory()
    if not median(size for size, _requests, _ms in with_it):
        raise AssertionError("the script did not come")
    results = []
    for number, (unit, limit) in enumerate((("bytes", BYTES), ("requests", REQUESTS), ("ms", MS))):
        beside = median(one[number] for one in without)
        figure = max(0.0, median(one[number] - two[number] for one, two in zip(with_it, without, strict=True)))
        results.append(
            {
                "name": "widget",
                "figure": figure,
                "limit": limit,
                "ratio": figure / limit,
                "bar": 1.0,
                "better": "lower",
                "unit": unit,
                "runs": rounds,
                "peak_mb": stage.peak_mb,
                "without": beside,
            }
        )
    return results


def _visit(browser: Any, address: str) -> tuple[int, int, float]:
    """One view by somebody new: bytes and requests beside the page itself, milliseconds of the main thread."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send(
        "Performance.enable", {"timeDomain": "threadTicks"}
    )  # what the thread computed, however busy the machine is
    page.goto(address)
    found = page.evaluate(LOADED)
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    context.close()
    return sum(size for _name, size in found), len(found), 1000 * metrics["TaskDuration"]


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class _Site:
    """Somebody else's web server: /plain, and /widget which is the same and a script tag."""

    def __init__(self, tag: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = "<!doctype html><html lang=en><title>Tea</title><link rel=icon href=data:,><body>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"{page}{TEXT}{tag if self.path == '/widget' else ''}".encode())

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
