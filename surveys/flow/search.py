"""Responses found. In: what is asked for, and the place where the page before ended. Out: places of responses, in order of time.

One function for the staff's page, REST and exports. What a page costs follows its length, never the number of answers, whatever is
asked for: the newest rows are walked through first, which is enough wherever much is found. Where little is, the rest comes from
the index of terms (flow/index.py): at once where something asked for is rare, else month by month, ever more of them at a time.
PostgreSQL alone would choose by estimates between walking through everything and reading all that a word was ever used in: both
took seconds (measured at 10 M).

The index only proposes: every row is held against what is asked for, as it stands now; and those that the index does not know
yet are looked at one by one. Never here: who may see what.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from surveys.flow.index import BACKLOG, facet, month_facet
from surveys.models import Answer, Customer, InstrumentVersion, Response, ResponseTerms, TermsDue
from surveys.scales import SCALES, Scale
from surveys.terms import Query, quote

PATIENCE_MS = 20_000
WALK = 5_000  # rows looked at before the index is asked
WALK_EACH = 20  # … and for each row that is wanted: what is less frequent is found sooner by the index
# Uses of a term, so few that reading all of them at once costs less than asking for them month by month.
RARE = 20_000
WIDER = (
    6  # times as many months with each look-up: three serve as many years, and each reads a word's every beginning anew
)

# What ANALYZE found: terms with the rows that hold them, and without a term how many hold the least frequent of those at most.
_USES = f"""
SELECT held.term, min(held.share) * greatest(rows.reltuples, 0)
FROM pg_stats stats JOIN pg_class rows ON rows.oid = '{ResponseTerms._meta.db_table}'::regclass
CROSS JOIN unnest(stats.most_common_elems::text::text[], stats.most_common_elem_freqs) AS held (term, share)
WHERE stats.schemaname = rows.relnamespace::regnamespace::text AND stats.tablename = rows.relname AND stats.attname = 'terms'
    AND (held.term IS NULL OR held.term = ANY(%s) OR held.term ^@ ANY(%s))
GROUP BY held.term, rows.reltuples
"""
_response, _answer = Response._meta.db_table, Answer._meta.db_table
_terms, _due = ResponseTerms._meta.db_table, TermsDue._meta.db_table
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TONES = ("worst", "middle", "best")
WAITING, COUNTED, LEFT_OUT = "waiting", "counted", "left_out"
_SUSPECTED = {
    WAITING: "r.excluded_at IS NOT NULL AND r.excluded_by_id IS NULL",
    COUNTED: "r.excluded_at IS NULL",
    LEFT_OUT: "r.excluded_by_id IS NOT NULL",
}


@dataclass(frozen=True)
class Asked:
    """What is looked for; what is None is not asked. Each collection holds what may stand in its column.

    From `begin` to before `end`: the organisation's days as moments, since it is by time that rows lie in order.
    `bands` are of TONES, each by the scale that was answered on; `suspected` is WAITING, COUNTED or LEFT_OUT; `facts` holds
    (key, text of the value). `of` is a customer's external id, address, or the reference of an answer.
    """

    begin: datetime | None = None
    end: datetime | None = None
    touchpoints: Collection[int] | None = None
    instruments: Collection[str] | None = None
    metrics: Collection[str] | None = None
    modes: Collection[str] | None = None
    segments: Collection[str] | None = None
    locations: Collection[str] | None = None
    languages: Collection[str] | None = None
    bands: Collection[str] | None = None
    score_min: int | None = None
    score_max: int | None = None
    has_comment: bool | None = None
    is_excluded: bool | None = None
    is_complete: bool | None = None
    suspected: str | None = None
    facts: Sequence[tuple[str, str]] = ()
    customer: int | None = None
    of: str | None = None
    text: Query | None = None


@dataclass(frozen=True, order=True)
class Place:
    """Where a response stands in the order of all."""

    at: datetime
    id: int

    @property
    def key(self) -> str:
        """As it stands in an address; `read` knows it again."""
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}.{self.id}"

    @classmethod
    def read(cls, key: str) -> "Place":
        """ValueError for what is no key."""
        micros, _, pk = key.partition(".")
        try:
            return cls(_EPOCH + timedelta(microseconds=int(micros[:20])), min(int(pk[:20]), 2**63 - 1))
        except OverflowError:
            raise ValueError(key) from None


@dataclass(frozen=True)
class Found:
    """Places in the order asked for; `more`: whether there are others behind them."""

    places: Sequence[Place]
    more: bool


def find_responses(asked: Asked, limit: int, after: Place | None = None, *, oldest_first: bool = False) -> Found:
    """The first `limit` responses behind `after`, the newest first. OperationalError (57014) where PATIENCE_MS are not enough."""
    terms = _Terms.of(asked)
    if terms is None:
        return Found((), False)
    with _patience(), connection.cursor() as cursor:
        places = _Search(cursor, terms, limit + 1, oldest_first).run(after)
    return Found(places[:limit], len(places) > limit)


def response_conditions(asked: Asked) -> tuple[str, list[Any]] | None:
    """The same as a condition on surveys_response r: (SQL, parameters); None where nothing can be found."""
    terms = _Terms.of(asked)
    if terms is None:
        return None
    where, parameters = terms.of_rows()
    times, values = terms.of_times()
    return " AND ".join([where, *times]), [*parameters, *values]


@contextmanager
def _patience() -> Iterator[None]:
    """Statements that end by themselves, and take the way that this module is built on."""
    told = {
        "statement_timeout": str(PATIENCE_MS),
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
        # Where the rows of a frequent word do not fit, their pages are remembered instead, and every row of these is read.
        "work_mem": "64MB",
        "max_parallel_workers_per_gather": "0",
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            each = ", ".join(["set_config(%s, %s, true)"] * len(told))
            cursor.execute(f"SELECT {each}", [part for pair in told.items() for part in pair])
        yield


class _Terms:
    """What is asked for, as conditions on rows and as a question to the index. Both say the same."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.conditions: list[str] = []
        self.parameters: list[Any] = []
        self.facets: list[Sequence[str]] = []  # one of each must be there

    @classmethod
    def of(cls, asked: Asked) -> "_Terms | None":
        """None where nothing can be found: a text without a word, a touchpoint that is none."""
        made = cls(asked)
        if asked.text is not None and not asked.text.tsquery:
            return None
        if asked.begin is not None and asked.end is not None and asked.begin >= asked.end:
            return None
        return made if made._add_all() else None

    def _add_all(self) -> bool:
        asked = self.asked
        columns: tuple[tuple[str, str, Collection[Any] | None], ...] = (
            ("t", "touchpoint_id", asked.touchpoints),
            ("v", "version_id", self._versions()),
            ("m", "mode", asked.modes),
            ("s", "segment", asked.segments),
            ("l", "location", asked.locations),
            ("g", "language", asked.languages),
            ("n", "score", self._scores()),
        )
        for kind, column, values in columns:
            if values is None:
                continue
            if not values:
                return False
            self._add(f"r.{column} = ANY(%s)", [list(values)], [facet(kind, value) for value in values])
        if asked.bands is not None and not self._add_bands(asked.bands):
            return False
        flags = (
            ("c", "r.comment <> ''", asked.has_comment),
            ("x", "r.excluded_at IS NOT NULL", asked.is_excluded),
            ("p", "r.completed_at IS NOT NULL", asked.is_complete),
        )
        for kind, condition, flag in flags:
            if flag is not None:
                self._add(condition if flag else f"NOT ({condition})", [], [facet(kind, int(flag))])
        if asked.suspected is not None:
            self._add(f"r.suspected_at IS NOT NULL AND {_SUSPECTED[asked.suspected]}", [], [facet("u", 1)])
        for key, value in asked.facts:
            self._add("r.facts ->> %s = %s", [key, value], [facet("f", f"{key}={value}")])
        if asked.customer is not None:
            self._add("r.customer_id = %s", [asked.customer], [])
        return asked.of is None or self._add_person(asked.of)

    def _add(self, condition: str, parameters: Sequence[Any], facets: Sequence[str]) -> None:
        self.conditions.append(f"({condition})")
        self.parameters += parameters
        if facets:
            self.facets.append(facets)

    def _versions(self) -> list[int] | None:
        asked = self.asked
        if asked.metrics is None and asked.instruments is None:
            return None
        rows = InstrumentVersion.objects.all()
        if asked.metrics is not None:
            rows = rows.filter(instrument__metric__in=asked.metrics)
        if asked.instruments is not None:
            rows = rows.filter(instrument__slug__in=asked.instruments)
        return list(rows.values_list("pk", flat=True))

    def _scores(self) -> range | None:
        asked = self.asked
        if asked.score_min is None and asked.score_max is None:
            return None
        lowest = min(scale.low for scale in SCALES.values())
        highest = max(scale.high for scale in SCALES.values())
        first = lowest if asked.score_min is None else max(asked.score_min, lowest)
        return range(first, (highest if asked.score_max is None else min(asked.score_max, highest)) + 1)

    def _add_bands(self, bands: Collection[str]) -> bool:
        """Scores by the scale of each version: a 6 is the lowest band of one and the highest of another."""
        versions: dict[tuple[str, int], list[int]] = {}
        for pk, metric, points in InstrumentVersion.objects.values_list(
            "pk", "instrument__metric", "instrument__points"
        ):
            versions.setdefault((metric, points), []).append(pk)
        conditions, parameters, alternatives = [], [], []
        for key, ids in versions.items():
            scores = [score for band in bands for score in scores_of(SCALES[key], band)] if key in SCALES else []
            if scores:
                conditions.append("r.version_id = ANY(%s) AND r.score = ANY(%s)")
                parameters += [ids, scores]
                of_versions = " | ".join(quote(facet("v", pk)) for pk in ids)
                of_scores = " | ".join(quote(facet("n", score)) for score in scores)
                alternatives.append(f"(({of_versions}) & ({of_scores}))")
        if not conditions:
            return False
        self.conditions.append(f"({' OR '.join(conditions)})")
        self.parameters += parameters
        self._of_bands = " | ".join(alternatives)
        return True

    _of_bands = ""

    def _add_person(self, of: str) -> bool:
        """Whose answers, by what a letter or a receipt says of somebody; else what they were about."""
        known = Customer.objects.filter(erased_at__isnull=True)
        for column in ("external_id", "email", "phone"):
            ids = list(known.filter(**{column: of}).values_list("pk", flat=True)[:100])
            if ids:
                # Through the index of customers: none of them has so many answers that it matters how they are read.
                self._add("r.customer_id = ANY(%s)", [ids], [])
                self.people = ids
                return True
        self._add("r.reference = %s", [of], [facet("r", of)])
        return True

    people: Sequence[int] = ()

    def of_rows(self, with_text: bool = True) -> tuple[str, list[Any]]:
        """A condition on a row r of responses, but for its time."""
        conditions, parameters = list(self.conditions), list(self.parameters)
        if with_text and self.asked.text is not None:
            # One look-up by key for each row that is left. As EXISTS it is joined, and the whole index read to that end.
            conditions.append(f"(SELECT x.terms @@ %s::tsquery FROM {_terms} x WHERE x.response_id = r.id)")
            parameters.append(self.asked.text.tsquery)
        return " AND ".join(conditions) or "true", parameters

    def of_times(self) -> tuple[list[str], list[Any]]:
        conditions, parameters = [], []
        for bound, sign in ((self.asked.begin, ">="), (self.asked.end, "<")):
            if bound is not None:
                conditions.append(f"r.responded_at {sign} %s")
                parameters.append(bound)
        return conditions, parameters

    def of_index(self, months: Sequence[str]) -> str:
        """A tsquery for those of some months, or of all times."""
        return self._said(self._parts({}), months)

    def _said(self, parts: Iterable["_Part"], months: Sequence[str] = ()) -> str:
        said = [part.tsquery for part in parts]
        if months:
            said.append(_one_of(months))
        if self._of_bands:
            said.append(f"({self._of_bands})")
        return " & ".join(said)

    def of_rare(self, cursor: Any) -> tuple[str, bool] | None:
        """(a tsquery for all times, whether it leaves out a part of the text); None where nothing that is asked for is rare.

        Left out is what begins many words: of such a part the index reads every use, however few rows the others leave.
        """
        phrases = self.asked.text.phrases if self.asked.text is not None else ()
        exact = {term for group in self.facets for term in group} | {term for one in phrases for term, _at in one.terms}
        begun = [one.terms[-1][0] for one in phrases if one.prefix]
        cursor.execute(_USES, [list(exact), begun])
        parts = self._parts(dict(cursor.fetchall()))
        kept = [part for part in parts if part.reads <= RARE]
        if not any(part.uses <= RARE for part in kept):
            return None
        return self._said(kept), len(kept) < len(parts)

    def _parts(self, uses: Mapping[str | None, float]) -> list["_Part"]:
        """All that the index must hold but the bands; with the `uses` of terms, or none where nothing is known of them."""
        rarest = uses.get(None, math.inf)
        parts = [_Part(_one_of(group), sum(uses.get(term, rarest) for term in group)) for group in self.facets]
        for phrase in self.asked.text.phrases if self.asked.text is not None else ():
            *whole, (last, _at) = phrase.terms
            begun = [count for term, count in uses.items() if term is not None and term.startswith(last)]
            reads = sum(begun, rarest) if phrase.prefix else 0
            fewest = min([uses.get(term, rarest) for term, _at in whole] + [reads or uses.get(last, rarest)])
            parts.append(_Part(phrase.tsquery, fewest, reads))
        return parts


@dataclass(frozen=True)
class _Part:
    """A part of what is asked for: how many rows hold it, and how many the index reads of it whatever the other parts leave."""

    tsquery: str
    uses: float
    reads: float = 0


def _one_of(terms: Iterable[str]) -> str:
    return f"({' | '.join(quote(term) for term in terms)})"


def scores_of(scale: Scale, tone: str) -> Sequence[int]:
    """The scores of the lowest band, the highest, or of those between."""
    lowest, *middle, highest = (key for key, _lowest in scale.bands)
    bands = {"worst": [lowest], "middle": middle, "best": [highest]}[tone]
    return [score for band in bands for score in scale.scores_of(band)]


class _Search:
    """One look-up: `run` gives up to `limit` places behind one."""

    def __init__(self, cursor: Any, terms: _Terms, limit: int, oldest_first: bool) -> None:
        self.cursor = cursor
        self.terms = terms
        self.limit = limit
        self.way, self.beyond = ("ASC", ">") if oldest_first else ("DESC", "<")
        self.oldest_first = oldest_first
        self.due: Sequence[int] = ()

    def run(self, after: Place | None) -> list[Place]:
        waiting = self._waiting(after)
        places, end = self._walk(after)
        if end is not None and len(places) < self.limit:
            places += self._of_index(end, self.limit - len(places))
        return sorted([*places, *waiting], reverse=not self.oldest_first)[: self.limit]

    def _waiting(self, after: Place | None) -> list[Place]:
        """What is found among those whose terms are due: the index does not know them yet, or knows what they were."""
        where, parameters = self.terms.of_rows(with_text=False)
        bounds, values = self._bounds(after)
        self.cursor.execute(
            f"""SELECT r.responded_at, r.id, r.comment, {bounds} AND {where},
                       ARRAY(SELECT a.text FROM {_answer} a WHERE a.response_id = r.id AND a.text <> '')
                FROM (SELECT DISTINCT response_id FROM (SELECT response_id FROM {_due} LIMIT {BACKLOG}) waits) due
                JOIN {_response} r ON r.id = due.response_id""",
            [*values, *parameters],
        )
        rows = self.cursor.fetchall()
        self.due = [row[1] for row in rows]
        query = self.terms.asked.text
        return [
            Place(at, pk)
            for at, pk, comment, is_asked, texts in rows
            if is_asked and (query is None or query.is_in(texts or [comment]))
        ]

    def _rows(self, with_text: bool = True) -> tuple[str, list[Any]]:
        """The condition on rows whose terms are as they should be."""
        where, parameters = self.terms.of_rows(with_text)
        return (f"{where} AND r.id <> ALL(%s)", [*parameters, list(self.due)]) if self.due else (where, parameters)

    def _places(self, sql: str, parameters: Sequence[Any]) -> list[Place]:
        self.cursor.execute(sql, parameters)
        return [Place(at, pk) for at, pk in self.cursor.fetchall()]

    def _bounds(self, after: Place | None) -> tuple[str, list[Any]]:
        conditions, parameters = self.terms.of_times()
        if after is not None:
            conditions.append(f"(r.responded_at, r.id) {self.beyond} (%s, %s)")
            parameters += [after.at, after.id]
        return " AND ".join(conditions) or "true", parameters

    def _walk(self, after: Place | None) -> tuple[list[Place], Place | None]:
        """What is found among the next rows, and where they end; None where they end because there are no more."""
        bounds, values = self._bounds(after)
        people = list(self.terms.people) or [one for one in [self.terms.asked.customer] if one is not None]
        touchpoints = self.terms.asked.touchpoints
        if people:
            bounds += " AND r.customer_id = ANY(%s)"
            values.append(people)
        elif touchpoints is not None and len(touchpoints) == 1:
            bounds += " AND r.touchpoint_id = %s"  # which has an index of its own
            values += touchpoints
        where, parameters = self._rows()
        order = f"ORDER BY r.responded_at {self.way}, r.id {self.way}"
        most = max(WALK, WALK_EACH * self.limit)
        walked = f"SELECT r.* FROM {_response} r WHERE {bounds} {order}" + (f" LIMIT {most}" if not people else "")
        places = self._places(
            f"SELECT r.responded_at, r.id FROM ({walked}) r WHERE {where} {order} LIMIT %s",
            [*values, *parameters, self.limit],
        )
        if people or len(places) == self.limit:
            return places, None
        end = self._places(
            f"SELECT r.responded_at, r.id FROM {_response} r WHERE {bounds} {order} OFFSET {most - 1} LIMIT 1", values
        )
        return places, end[0] if end else None

    def _of_index(self, end: Place, wanted: int) -> list[Place]:
        """The rest, by the index."""
        rare = self.terms.of_rare(self.cursor)
        if rare is not None:
            tsquery, leaves_out = rare
            return self._indexed(tsquery, end, wanted, with_text=leaves_out)
        return self._of_months(end, wanted)

    def _of_months(self, end: Place, wanted: int) -> list[Place]:
        """More months at a time, so that words that stand together nowhere cost a handful of look-ups.

        The last one names no month where no answer is beyond: a long list of them is dear to look through. It finds again what
        the others found.
        """
        places: list[Place] = []
        months, is_all = self._months(end)
        width = 1
        while months and len(places) < wanted:
            some, months = months[:width], months[width:]
            width *= WIDER
            if is_all and not months:
                return self._indexed(self.terms.of_index(()), end, wanted)
            places += self._indexed(self.terms.of_index(some), end, wanted - len(places))
        return places

    def _indexed(self, tsquery: str, end: Place, wanted: int, *, with_text: bool = False) -> list[Place]:
        bounds, values = self._bounds(end)
        where, parameters = self._rows(with_text)
        # Materialized: else the planner may walk through all rows in their order, in the hope of finding enough of them soon.
        return self._places(
            f"""WITH w AS MATERIALIZED (SELECT response_id FROM {_terms} WHERE terms @@ %s::tsquery)
                SELECT r.responded_at, r.id FROM w JOIN {_response} r ON r.id = w.response_id WHERE {bounds} AND {where}
                ORDER BY r.responded_at {self.way}, r.id {self.way} LIMIT %s""",
            [tsquery, *values, *parameters, wanted],
        )

    def _months(self, end: Place) -> tuple[list[str], bool]:
        """Facets of the months from `end` to the last that may hold anything, in the order of the search; whether no answer is beyond."""
        way = "DESC" if self.oldest_first else "ASC"
        self.cursor.execute(f"SELECT responded_at FROM {_response} ORDER BY responded_at {way}, id {way} LIMIT 1")
        held = self.cursor.fetchone()
        bound = self.terms.asked.end if self.oldest_first else self.terms.asked.begin
        farthest = last = held[0] if held else end.at
        if bound is not None:
            last = min(last, bound) if self.oldest_first else max(last, bound)
        is_all = last == farthest
        first, last = sorted((end.at.astimezone(UTC), last.astimezone(UTC)))
        facets = []
        month = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        while month <= last:
            facets.append(month_facet(month))
            month = (month + timedelta(days=32)).replace(day=1)
        return (facets if self.oldest_first else facets[::-1]), is_all
