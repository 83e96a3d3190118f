"""Channels beside each other by one metric, and, apart from them, the modes in which answers were collected."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from metrics.display import channel_pages, figures
from metrics.display.channel_pages import Side, Standing
from metrics.filters import carried_query
from metrics.queries import MatrixRow, ModeRow, measure_matrix, measure_modes
from metrics.reports import Page, Report, Request
from metrics.views.decisions import near_decisions
from surveys.models import Channel, Mode, Organisation


def make(request: Request) -> Report:
    """/admin/channels/. `?metric=` chooses the metric."""
    frame, filters = request.frame, request.filters
    rows = measure_matrix(filters.slice(), filters.before, now=request.now, catalogue=frame.catalogue)
    columns = [
        column for column in figures.COLUMNS if any((row.metric, row.points) == column and row.now.n for row in rows)
    ]
    if not columns:
        return Report(_("Channels"), is_empty=True)
    asked = figures.column_of(request.http.GET.get("metric", ""))
    column = asked if asked in columns and asked is not None else columns[0]
    own = [row for row in rows if (row.metric, row.points) == column and row.touchpoint]
    channels = channel_pages.stand(column, _channels(request, column, own))
    tables = [
        channel_pages.channels_table(channels),
        channel_pages.pairs_table(channels),
        channel_pages.mix_table(channels),
    ]
    context: dict[str, Any] = {
        "column_title": figures.title(column),
        "column_meaning": figures.meaning(column),
        "metric_tabs": [
            {
                "title": figures.title(one),
                "query": request.query_with(metric=figures.column_key(one)),
                "current": one == column,
            }
            for one in columns
        ],
        "gap": channel_pages.gap_figure(channels),
        "said": channel_pages.sentences(channels),
        "lines": channel_pages.drawing(channels),
        "axis": channel_pages.axis(channels),
        "no_channel": sum(row.now.n for row in rows if (row.metric, row.points) == column and not row.touchpoint),
    }
    if column[1]:
        tables += _modes(request, column, channels, measure_modes(filters.slice(), catalogue=frame.catalogue))
    decided, links = near_decisions(request)
    return Report(_("Channels"), [*tables, decided], context | links)


def _channels(request: Request, column: figures.Column, rows: Sequence[MatrixRow]) -> list[Side]:
    """All five, in the order in which the product names them; those that the page's filters leave."""
    touchpoints = request.frame.touchpoints
    chosen = request.filters.narrowing.get("channel")
    sides = []
    for value, label in Channel.choices:
        if chosen not in (None, value):
            continue
        held = [row for row in rows if touchpoints[row.touchpoint].channel == value]
        before = channel_pages.pooled([row.before for row in held]) if request.filters.before else None
        parts = [_touchpoint(request, column, row) for row in held]
        now = channel_pages.pooled([row.now for row in held])
        url = request.query_with(channel=value)
        targets = targets_of(request.frame.organisation, value)
        sides.append(Side(value, str(label), column, now, before, targets, url if now else "", parts))
    return sides


def _touchpoint(request: Request, column: figures.Column, row: MatrixRow) -> Side:
    touchpoint = request.frame.touchpoints[row.touchpoint]
    query = carried_query(request.http, trend=figures.column_key(column))
    url = reverse("touchpoint_page", args=[touchpoint.slug]) + query
    targets = touchpoint.targets
    return Side(touchpoint.slug, touchpoint.label, column, row.now.distribution, None, targets, url)


def targets_of(organisation: Organisation, channel: str) -> Mapping[str, float]:
    """What all touchpoints of a channel together are held against, under the names of Touchpoint.targets."""
    held: Mapping[str, float] = organisation.channel_targets.get(channel, {})
    return held


def _modes(request: Request, column: figures.Column, channels: Standing, rows: Sequence[ModeRow]) -> list[Any]:
    """The metric by mode, and by channel and mode. Modes stand in their own order: they are not ranked."""
    own = [row for row in rows if (row.now.metric, row.now.points) == column]
    names = {value: str(label) for value, label in Mode.choices}
    cells: dict[tuple[str, str], list[Any]] = {}
    for row in own:
        channel = request.frame.touchpoints[row.touchpoint].channel
        cells.setdefault((channel, row.mode), []).append(row.now)
    present = [mode for mode in names if any(row.mode == mode for row in own)]
    sides = [
        Side(
            mode, names[mode], column, channel_pages.pooled([row.now for row in own if row.mode == mode]),
            url=request.query_with(mode=mode),
        )
        for mode in present
    ]  # fmt: skip
    counts = {key: channel_pages.pooled(parts) for key, parts in cells.items()}
    return [
        channel_pages.modes_table(Standing(column, sides)),
        channel_pages.cross_table(channels, counts, [(mode, names[mode]) for mode in present]),
    ]


PAGE = Page("channels", "channels/", "staff/channels.html", make, kept=("metric",))
