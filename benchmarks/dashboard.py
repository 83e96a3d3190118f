"""Staff pages over three years with 10 M responses and 1 M tickets, beside the same pages at a hundredth of both.

Both databases stand side by side, each with a PostgreSQL database and a gunicorn of its own; a logged-in session asks for
the pages over HTTP. Three rows: `dashboard` is the overview as after login, `dashboard_years` the worst of the pages over
three years, unfiltered, and `dashboard_filtered` the worst of them narrowed by mode, segment or location, held against the
same page at a hundredth and against its own unfiltered time. What is measured is whether pages stay flat as history grows.
"""

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

from django.db import connection

from benchmarks.load import request, send_all
from benchmarks.result import measured
from benchmarks.stage import Stage
from benchmarks.years import Shape, fill

BAR, BAR_YEARS, BAR_FILTERED = 1.25, 1.5, 4.0
MAX_QUERIES = 15
YEARS = 3
WARM = 8  # as many as the web has threads


@dataclass(frozen=True)
class Page:
    """A page to measure: its path, what must stand on it, and by what it can be narrowed."""

    name: str
    path: str
    holds: bytes
    filters: Sequence[str] = ("mode=email", "segment=gold", "location=branch-7")


# A new page is a line here.
PAGES = (
    Page("overview", "/admin/", b"cx-is-value"),
    Page("touchpoint", "/admin/touchpoints/place-0/", b"cx-is-value"),
    Page("journey", "/admin/journeys/j0/", b"cx-is-value"),
    Page("channels", "/admin/channels/", b"cx-is-value"),
    Page("ttr", "/admin/ttr/", b"cx-is-value", ("segment=gold", "location=branch-7")),  # a ticket has no mode
)
AFTER_LOGIN = PAGES[0]


def periods(today: date) -> dict[str, str]:
    """Three years of whole months, the same with odd days at both ends, and the last two quarters."""
    first = (today - timedelta(days=365 * YEARS - 40)).replace(day=1)
    last_month = today.replace(day=1) - timedelta(days=1)
    odd = today - timedelta(days=365 * YEARS - 12)
    quarter = (today - timedelta(days=180)).replace(day=1)
    return {
        "3 years": f"from={first}&to={last_month}",
        "3 years of odd days": f"from={odd}&to={today}",
        "2 quarters": f"from={quarter}&to={last_month}",
    }


def run(stage: Stage, quick: bool = False) -> list[dict[str, Any]]:
    """Milliseconds per page, medians of rounds that alternate."""
    if quick:
        # So many in so few days that a trend has a point a day in both: fewer answers are drawn as less.
        few, many = Shape(20, 45, 4_000, 400), Shape(20, 45, 40_000, 4_000)
    else:
        few, many = Shape(200, 365 * YEARS, 100_000, 10_000), Shape(200, 365 * YEARS, 10_000_000, 1_000_000)
    from django.utils import timezone

    now = timezone.now()
    asked = periods(now.date())
    if quick:
        asked = {"3 years of odd days": asked["3 years of odd days"]}
    stage.collect_static()
    small = _Site(stage, few, now, "small")
    big = _Site(stage, many, now)
    if not quick:
        for page in PAGES:
            _count_queries(page, asked)
    results = [_after_login(small, big, quick), *_over_years(small, big, asked, quick)]
    stage.note_memory()
    return [{**result, "peak_mb": stage.peak_mb} for result in results]


def _after_login(small: "_Site", big: "_Site", quick: bool) -> dict[str, Any]:
    figures, limits = [], []
    for _round in range(1 if quick else 7):
        figure, limit = _pair(small, big, AFTER_LOGIN, AFTER_LOGIN.path, 3 if quick else 20)
        figures.append(figure)
        limits.append(limit)
    return measured("dashboard", figures, limits, BAR, "ms/page", better="lower")


def _over_years(small: "_Site", big: "_Site", asked: dict[str, str], quick: bool) -> list[dict[str, Any]]:
    """The two rows of the worst page each; every page's own figures stand in the note."""
    rounds, times = (1, 3) if quick else (3, 4)
    unfiltered, filtered = [], []
    for page in PAGES[::2] if quick else PAGES:
        for period, days in asked.items():
            own = [_pair(small, big, page, f"{page.path}?{days}", times) for _round in range(rounds)]
            figures, limits = [figure for figure, _limit in own], [limit for _figure, limit in own]
            unfiltered.append((f"{page.name}, {period}", figures, limits))
            for narrowed in page.filters[:1] if quick else page.filters:
                name = f"{page.name}, {period}, {narrowed.partition('=')[0]}"
                found = [_pair(small, big, page, f"{page.path}?{days}&{narrowed}", times) for _round in range(rounds)]
                times_big = [figure for figure, _limit in found]
                filtered.append((f"{name}: against fewer", times_big, [limit for _figure, limit in found]))
                filtered.append((f"{name}: against unfiltered", times_big, figures))
    return [
        _worst("dashboard_years", unfiltered, BAR_YEARS),
        _worst("dashboard_filtered", filtered, BAR_FILTERED),
    ]


def _worst(name: str, pages: list[tuple[str, list[float], list[float]]], bar: float) -> dict[str, Any]:
    pages = sorted(pages, key=lambda page: -median(page[1]) / median(page[2]))
    told = [f"{page}: {median(figures):.0f} of {median(limits):.0f} ms" for page, figures, limits in pages]
    _page, figures, limits = pages[0]
    note = "; ".join(told[:4]) + f" (the worst of {len(told)})"
    return {**measured(name, figures, limits, bar, "ms/page", better="lower"), "note": note, "pages": told}


def _pair(small: "_Site", big: "_Site", page: Page, path: str, times: int) -> tuple[float, float]:
    """(big, small) in ms, medians. In turn, page by page: whatever else the machine does meanwhile meets both."""
    pairs = [(small.page_ms(page, path), big.page_ms(page, path)) for _time in range(times)]
    return median(figure for _limit, figure in pairs), median(limit for limit, _figure in pairs)


class _Site:
    """A filled database with its web server and somebody who is logged in; `aside`: under which name it makes room for the next."""

    def __init__(self, stage: Stage, shape: Shape, now: datetime, aside: str = "") -> None:
        fill(shape, now)
        cookie = _log_in()
        if aside:
            stage.put_aside(aside)
        self.port = stage.serve(database=aside or "cxsurvey")
        self.cookie = f"{cookie.key}={cookie.value}"
        warm = request("GET", AFTER_LOGIN.path, b"", "text/plain", Cookie=self.cookie)
        _seconds, statuses = send_all(
            self.port, [warm] * WARM, WARM
        )  # each thread of each process opens its connection
        if statuses != {200: WARM}:
            raise AssertionError(f"the page does not come: {statuses}")
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)

    def page_ms(self, page: Page, path: str) -> float:
        """One page over a connection that is open already. A new one each time: the server keeps none for as long as the other takes."""
        self.connection.close()
        self.connection.connect()
        started = time.perf_counter()
        self.connection.request("GET", path, headers={"Cookie": self.cookie})
        response = self.connection.getresponse()
        body = response.read()
        taken = 1000 * (time.perf_counter() - started)
        narrowed = any(name in path for name in page.filters)  # then a hundredth may be too few answers for a figure
        if response.status != 200 or (page.holds not in body and not narrowed):
            raise AssertionError(f"{path}: {response.status}, or nothing is on it")
        return taken


def _log_in() -> Any:
    """A manager's session cookie."""
    from django.conf import settings
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("bench", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    with _bench_client() as client:
        return client.cookies[settings.SESSION_COOKIE_NAME]


def _count_queries(page: Page, asked: dict[str, str]) -> None:
    """Each page once in this process, since only here its queries can be counted."""
    from django.test.utils import CaptureQueriesContext

    with _bench_client() as client:
        for narrowed in ("", *page.filters):
            path = f"{page.path}?{next(iter(asked.values()))}&{narrowed}"
            with CaptureQueriesContext(connection) as queries:
                response = client.get(path)
            count = sum(not query["sql"].startswith(("BEGIN", "COMMIT", "SELECT set_config(")) for query in queries)
            if response.status_code != 200 or count > MAX_QUERIES:
                raise AssertionError(f"{path}: {response.status_code}, {count} queries, {MAX_QUERIES} at most")


@contextmanager
def _bench_client() -> Iterator[Any]:
    """Logged in, in this process."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client, override_settings

    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(STORAGES=settings.STORAGES | plain):
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(User.objects.get(username="bench"), backend="django.contrib.auth.backends.ModelBackend")
        yield client
