"""Answers: found by all that they say and carry, read, chosen for the admin to take out or count again, and exported as listed.

In: a URL with the filters of every page and more of its own. Out: fifty at a time, whichever page of how many; nothing is written here
but the record of an export. For whoever may read answers; customers, references and facts only for whoever may view customers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from metrics.display import figures
from metrics.export import Export, count_up_to, csv_bytes, xlsx_bytes
from metrics.filters import Filters, Offered, carried_query, filter_bar, query_with
from metrics.frame import (
    ALL_DAYS,
    SEES_ANSWERS,
    Frame,
    list_url,
    may_view,
    render_notice,
    render_page,
    row_url,
    staff_page,
)
from metrics.reports import patience
from metrics.sheets import CSV_TYPE, MAX_ROWS, XLSX_TYPE
from surveys.admin.records import SEES_PEOPLE, customer_name
from surveys.admin.responses import EXCLUDES
from surveys.admin.texts import language_name
from surveys.flow.index import has_backlog
from surveys.flow.search import COUNTED, LEFT_OUT, WAITING, Asked, Place, find_responses
from surveys.models import Customer, InvitationRule, Mode, Response, Touchpoint
from surveys.models.instruments import Metric
from surveys.scales import SCALES
from surveys.terms import MAX_QUERY, Query, read_query
from surveys.words import band_tone, band_word

PER_PAGE = 50
COUNTED_TO = 1_000  # more than that is said as such: to know would mean to read them
EXCERPT = 500  # characters of a text in the list
HEAD_ROWS = 40  # of a file, at most: what it says of itself, and heads
SUSPICIONS = {"suspected": WAITING, "suspected_counted": COUNTED, "suspected_left_out": LEFT_OUT}
# What an address may ask for beside the filters.
SEARCHED, OLDER, NEWER = "q", "older", "newer"


@dataclass(frozen=True)
class Found:
    """The URL, read: the frame, its filters, and what they ask for. `wrong` says what of it makes no sense."""

    http: HttpRequest
    now: datetime
    frame: Frame
    filters: Filters
    asked: Asked
    wrong: Sequence[str]

    @property
    def typed(self) -> str:
        return self.http.GET.get(SEARCHED, "").replace("\0", "").strip()[:MAX_QUERY]

    @property
    def sees_people(self) -> bool:
        return bool(self.http.user.has_perm(SEES_PEOPLE))


def _offered(frame: Frame, sees_people: bool) -> Offered:
    """This page's own filters, beside those of every page."""
    scales = SCALES.values()
    scores = [(str(one), str(one)) for one in range(min(s.low for s in scales), max(s.high for s in scales) + 1)]
    instruments = {one.instrument.slug: one.instrument.label for one in frame.touchpoints.values() if one.instrument}
    offered: dict[str, Any] = {
        "metric": (_("Metric"), [(value, str(label)) for value, label in Metric.choices]),
        "band": (
            _("Band"),
            [
                ("worst", _("Lowest")),
                ("middle", _("Middle")),
                ("best", _("Highest")),
            ],
        ),
        "comment": (_("Comment"), [("yes", _("With a comment")), ("no", _("Without a comment"))]),
        "state": (
            _("State"),
            [
                ("counted", _("Counted")),
                ("excluded", _("Excluded")),
                ("suspected", _("Looks like a machine’s: waits for a decision")),
                ("suspected_counted", _("Looks like a machine’s: counted")),
                ("suspected_left_out", _("Looks like a machine’s: left out")),
                ("complete", _("Complete")),
                ("partial", _("Partial")),
            ],
        ),
        "instrument": (_("Instrument"), sorted(instruments.items())),
        "score_min": (_("Score from"), scores),
        "score_max": (_("Score to"), scores),
        "language": (_("Language"), [(str(tag), language_name(str(tag))) for tag in frame.organisation.languages]),
    }
    if sees_people:
        offered["fact"] = (_("Fact (name = value)"), None)
        offered["of"] = (_("Customer or reference"), None)
    return offered


def _read(http: HttpRequest) -> Found:
    now = timezone.now()
    frame = Frame.load(http, now)
    sees_people = bool(http.user.has_perm(SEES_PEOPLE))
    filters = Filters.read(http, now, frame, extra=_offered(frame, sees_people))
    chosen = {name: value.strip() for name, value in filters.narrowing.items()}
    wrong = list(filters.wrong)
    slice_ = filters.slice()
    begin, end = filters.moments(frame)

    def among(name: str) -> list[str] | None:
        return [chosen[name]] if name in chosen else None

    facts = []
    if "fact" in chosen:
        key, is_there, value = chosen["fact"].partition("=")
        if is_there and key.strip():
            facts.append((key.strip(), value.strip()))
        else:
            wrong.append(_("A fact is asked for as name = value, such as carrier = SF."))
    if not sees_people and (http.GET.get("fact") or http.GET.get("of")):
        wrong.append(
            _("Your account may not ask for customers, references and facts: these are left out of what is asked for.")
        )
    typed = http.GET.get(SEARCHED, "").replace("\0", "").strip()
    query = read_query(typed) if typed else None
    if query is not None and not query.phrases:
        wrong.append(_("There is no word to look for in “%(typed)s”.") % {"typed": typed[:60]})
    state = chosen.get("state")
    asked = Asked(
        begin=begin,
        end=end,
        touchpoints=frame.catalogue.touchpoint_ids(slice_),
        metrics=among("metric"),
        instruments=among("instrument"),
        modes=among("mode"),
        segments=among("segment"),
        locations=among("location"),
        languages=among("language"),
        bands=among("band"),
        score_min=int(chosen["score_min"]) if "score_min" in chosen else None,
        score_max=int(chosen["score_max"]) if "score_max" in chosen else None,
        has_comment={"yes": True, "no": False}.get(chosen.get("comment", "")),
        is_excluded={"counted": False, "excluded": True}.get(state or ""),
        is_complete={"complete": True, "partial": False}.get(state or ""),
        suspected=SUSPICIONS.get(state or ""),
        facts=facts,
        of=chosen.get("of") or None,
        text=query,
    )
    return Found(http, now, frame, filters, asked, wrong)


# --- The page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """One thing that was written, cut around what was looked for: (piece, whether it is that)."""

    pieces: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Line:
    """One answer of the list. `customer` is a name and the address of their story, each "" for whoever may not know."""

    pk: int
    url: str
    touchpoint: Touchpoint
    responded_at: datetime
    score: str
    tone: str
    band: str
    state: str
    is_doubtful: bool
    is_partial: bool
    texts: Sequence[Text]
    about: Sequence[str]
    customer: tuple[str, str]


def page(http: HttpRequest) -> HttpResponse:
    """/admin/responses/."""
    found = _read(http)
    after, is_back = _place(http)
    try:
        # The first page also says how many there are, as far as anybody wants to know.
        limit = PER_PAGE if after else COUNTED_TO
        held = find_responses(found.asked, limit, after, oldest_first=is_back)
    except OperationalError as error:
        return _given_up(http, error)
    places = held.places[::-1] if is_back else held.places[:PER_PAGE]
    more = held.more or len(held.places) > PER_PAGE
    with timezone.override(found.frame.organisation.zone):
        lines = _lines(found, [place.id for place in places])
    older = places[-1] if places and (more or is_back) else None
    newer = places[0] if places and after and (more or not is_back) else None
    bar = filter_bar(http, found.filters, SEARCHED)
    query = query_with(http, **{OLDER: "", NEWER: ""})
    may_act = http.user.has_perm(EXCLUDES) and may_view(http, Response)
    context = {
        "title": _("Answers"),
        "filters": {**bar, "compares": False, "wrong": found.wrong, "says": _says(found)},
        "typed": found.typed,
        "max_query": MAX_QUERY,
        "search_kept": [(name, value) for name, value in http.GET.items() if name not in (SEARCHED, OLDER, NEWER)],
        "unsearched": query_with(http, **{SEARCHED: "", OLDER: "", NEWER: ""}),
        "lines": lines,
        "told": "" if after else _how_many(len(held.places), held.more),
        "is_narrowed": bool(found.filters.narrowing or found.typed),
        "older": query_with(http, **{OLDER: older.key, NEWER: ""}) if older else "",
        "newer": query_with(http, **{NEWER: newer.key, OLDER: ""}) if newer else "",
        "first": query if after else "",
        "all_days": query_with(http, period="", to="", **{"from": ALL_DAYS, OLDER: "", NEWER: ""}),
        "files": [("CSV", reverse("answers_csv") + query), ("XLSX", reverse("answers_xlsx") + query)],
        "has_backlog": has_backlog(),
        "may_act": may_act,
        "here": http.get_full_path(),
        "touchpoint_query": carried_query(http, touchpoint="", journey="", stage="", channel=""),
        "rules_url": list_url(InvitationRule) if may_view(http, InvitationRule) else "",
    }
    return render_page(http, "staff/responses.html", found.frame, context)


def _place(http: HttpRequest) -> tuple[Place | None, bool]:
    """Where the page begins, and whether it lies before that. What is no place is the beginning."""
    for name in (OLDER, NEWER):
        try:
            if http.GET.get(name):
                return Place.read(http.GET[name]), name == NEWER
        except ValueError:
            continue
    return None, False


def _how_many(count: int, more: bool) -> str:
    if more:
        return _("More than %(count)s answers") % {"count": f"{COUNTED_TO:,}"}
    return _("1 answer") if count == 1 else _("%(count)s answers") % {"count": f"{count:,}"}


def _says(found: Found) -> str:
    first, last = found.filters.period.first, found.filters.period.last
    return _("Answered from %(first)s to %(last)s, newest first.") % {
        "first": date_format(first, "DATE_FORMAT"),
        "last": date_format(last, "DATE_FORMAT"),
    }


def _lines(found: Found, ids: Sequence[int]) -> list[Line]:
    rows = Response.objects.select_related("version__instrument").prefetch_related("answers")
    if found.sees_people:
        rows = rows.select_related("customer")
    held = rows.in_bulk(list(ids))
    places = {touchpoint.pk: touchpoint for touchpoint in found.frame.touchpoints.values()}
    may_open, may_meet = may_view(found.http, Response), found.sees_people and may_view(found.http, Customer)
    return [_line(found, held[pk], places, may_open, may_meet) for pk in ids if pk in held]


def _line(found: Found, row: Response, places: Mapping[int, Touchpoint], may_open: bool, may_meet: bool) -> Line:
    metric, points = row.version.instrument.metric, row.version.instrument.points
    written = [answer.text for answer in row.answers.all() if answer.text] or [row.comment] * bool(row.comment)
    mode = str(Mode(row.mode).label) if row.mode in Mode.values else row.mode
    language = language_name(row.language) if row.language else ""
    customer = row.customer if found.sees_people else None
    story = row_url(Customer, customer.pk) if customer and may_meet and customer.erased_at is None else ""
    state = ""
    if row.is_suspect:
        state = _("Looks like a machine’s")
    elif row.excluded_at:
        state = _("Excluded: %(reason)s") % {"reason": row.excluded_reason}
    return Line(
        row.pk,
        row_url(Response, row.pk) if may_open else "",
        places[row.touchpoint_id],
        row.responded_at,
        figures.score_text(metric, points, row.score),
        band_tone(metric, points, row.score),
        band_word(metric, points, row.score),
        state,
        row.is_suspect,
        row.completed_at is None,
        [Text(excerpt(text, found.asked.text)) for text in written],
        [part for part in (mode, row.segment, row.location, language) if part],
        (customer_name(customer), story) if customer else ("", ""),
    )


def excerpt(text: str, query: Query | None) -> list[tuple[str, bool]]:
    """A text in pieces, at most EXCERPT characters of it, around the first that was looked for."""
    pieces = query.pieces(text) if query else [(text, False)]
    before = next((sum(len(piece) for piece, _hit in pieces[:place]) for place, one in enumerate(pieces) if one[1]), 0)
    start = max(0, before - EXCERPT // 3) if len(text) > EXCERPT else 0
    kept: list[tuple[str, bool]] = [("… ", False)] if start else []
    at = 0
    for piece, is_hit in pieces:
        part = piece[max(0, start - at) : max(0, start + EXCERPT - at)]
        at += len(piece)
        if part:
            kept.append((part, is_hit))
    return [*kept, (" …", False)] if at > start + EXCERPT else kept


def _given_up(http: HttpRequest, error: OperationalError) -> HttpResponse:
    if getattr(error.__cause__, "pgcode", "") != "57014":  # any other is no matter of patience
        raise error
    text = _("So many answers cannot be looked through while you wait. Choose fewer days, or fewer filters.")
    return render_notice(http, _("This took too long"), text, status=503)


# --- Files ------------------------------------------------------------------------------------------------------------


def file(kind: str, http: HttpRequest) -> HttpResponseBase:
    """/admin/responses.csv and .xlsx: what the page lists, all of it."""
    found = _read(http)
    says = _file_says(found)
    if kind == "xlsx":
        most = MAX_ROWS - HEAD_ROWS
        try:
            with patience():
                count = count_up_to(found.asked, most + 1)
        except OperationalError as error:
            return _given_up(http, error)
        if count > most:
            return _too_long(found)
    export = Export.of(found.asked, found.frame.organisation, people=found.sees_people)
    _note_export(found, kind)
    period = found.filters.period
    if kind == "csv":
        response = StreamingHttpResponse(csv_bytes(export, says), content_type=CSV_TYPE)
    else:
        response = StreamingHttpResponse(xlsx_bytes(export, says, _("Answers")), content_type=XLSX_TYPE)
    response["Content-Disposition"] = f'attachment; filename="answers-{period.first}-{period.last}.{kind}"'
    return response


def _file_says(found: Found) -> list[list[str]]:
    """The top of a file: what it is, whose, of which days, by which filters, when it was made and by whom."""
    organisation, period = found.frame.organisation, found.filters.period
    said = [
        (_("Organisation"), organisation.label),
        (_("Period"), f"{period.first} – {period.last} ({organisation.time_zone})"),
        *found.filters.says(),
        *([(_("Search"), found.typed)] if found.typed else []),
        (_("Made"), found.now.astimezone(organisation.zone).isoformat(timespec="seconds")),
        (_("By"), found.http.user.get_username()),
        (_("Address"), settings.BASE_URL),
    ]
    return [[_("Answers")], *([str(name), value] for name, value in said)]


def _note_export(found: Found, kind: str) -> None:
    """Who took which answers away, and when; before the first of them leaves."""
    period = found.filters.period
    filters = "; ".join(f"{name}: {value}" for name, value in found.filters.says())
    what = {"kind": kind.upper(), "first": period.first, "last": period.last}
    told = _("Exported as %(kind)s, with customers: %(first)s to %(last)s") if found.sees_people else (
        _("Exported as %(kind)s, without customers: %(first)s to %(last)s")
    )  # fmt: skip
    LogEntry.objects.create(
        user_id=found.http.user.pk or 0,
        content_type=ContentType.objects.get_for_model(Response),
        object_repr=_("Answers"),
        action_flag=ADDITION,
        change_message="; ".join(part for part in (told % what, filters, found.typed) if part),
    )


def _too_long(found: Found) -> HttpResponse:
    query = query_with(found.http, **{OLDER: "", NEWER: ""})
    text = _(
        "A workbook has %(most)s rows at most, and these are more. Nothing was left out for it: take the CSV file, or fewer days."
    ) % {"most": f"{MAX_ROWS:,}"}
    context = {"title": _("Too many answers for a workbook"), "text": text}
    links = [("CSV", reverse("answers_csv") + query), (_("Back to the answers"), reverse("answers") + query)]
    response = render_page(found.http, "staff/notice.html", found.frame, {**context, "links": links})
    response.status_code = 422
    return response


_answers_page: Callable[[Callable[..., HttpResponseBase]], Any] = partial(staff_page, needs=SEES_ANSWERS)
urlpatterns = [
    path("responses/", _answers_page(page), name="answers"),
    path("responses.csv", _answers_page(partial(file, "csv")), name="answers_csv"),
    path("responses.xlsx", _answers_page(partial(file, "xlsx")), name="answers_xlsx"),
]
