"""The answers that a page lists, as a file: exactly what is asked for, in the page's order.

In: what is asked for. Out: CSV or XLSX, in pieces. A CSV is written by PostgreSQL itself (COPY), which is several times as fast as
taking rows apart here and putting them together again; what a spreadsheet would run as a formula is made harmless in the same
statement. Both files hold the same. Each piece is a batch of its own: memory stays flat however many there are, and no transaction
stays open while somebody downloads. Customers stand in a file only where `people` says so; whoever calls decides.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from metrics.sheets import BOM, FORMULA, Value, csv_line, xlsx_lines
from surveys.flow.respond import COMMENT_KEY, SCORE_KEY
from surveys.flow.search import Asked, Place, find_responses, response_conditions
from surveys.models import Organisation, Question, Touchpoint
from surveys.models.instruments import Kind
from surveys.scales import SCALES
from surveys.words import band_word

BATCH = 20_000
TEXT, NUMBER, DAY, MOMENT = "text", "number", "day", "moment"
_MEMORY = "64MB"  # so that a batch is sorted without files


@dataclass(frozen=True)
class Column:
    """One column: its head, and of what a row says in SQL (r is the response). `width` is that of a sheet, in characters."""

    title: str
    sql: str
    kind: str = TEXT
    width: int = 14


@dataclass(frozen=True)
class Export:
    """What a file holds: the organisation's clock, columns, and where their values come from."""

    asked: Asked
    columns: Sequence[Column]
    zone: str
    places: Sequence[tuple[Any, ...]]
    bands: Sequence[tuple[Any, ...]]

    @classmethod
    def of(cls, asked: Asked, organisation: Organisation, people: bool) -> "Export":
        """Words are found now: a file that streams outlives the reader's language."""
        rows = Touchpoint.objects.select_related("journey", "stage")
        places = [
            (
                row.pk,
                row.slug,
                row.label,
                row.journey.label if row.journey else "",
                row.stage.label if row.stage else "",
                row.channel,
            )
            for row in rows
        ]
        bands = [
            (metric, points, score, band_word(metric, points, score))
            for (metric, points), scale in SCALES.items()
            for score in scale.scores
        ]
        return cls(asked, columns_of(asked, people), organisation.time_zone, places, bands)

    @property
    def heads(self) -> list[Value]:
        return [column.title for column in self.columns]


def columns_of(asked: Asked, people: bool) -> list[Column]:
    """Where one instrument alone is asked for, each of its questions has a column; else all but score and comment share one."""
    held = [
        Column(_("Response"), "r.client_id::text", width=36),
        Column(_("Answered at"), "r.responded_at", MOMENT, 20),
        Column(_("Day"), "r.day", DAY, 11),
        Column(_("Touchpoint"), "place.slug"),
        Column(_("Name of the touchpoint"), "place.label", width=24),
        Column(_("Journey"), "place.journey"),
        Column(_("Stage"), "place.stage"),
        Column(_("Channel"), "place.channel"),
        Column(_("Collected by"), "r.mode", width=10),
        Column(_("Segment"), "r.segment", width=10),
        Column(_("Location"), "r.location", width=10),
        Column(_("Language"), "r.language", width=10),
        Column(_("Instrument"), "i.slug"),
        Column(_("Version"), "v.number", NUMBER, 8),
        Column(_("Metric"), "i.metric", width=8),
        Column(_("Score"), "r.score", NUMBER, 8),
        Column(_("Band"), "band.word"),
        Column(_("Comment"), "r.comment", width=60),
        *_question_columns(asked),
        Column(_("Completed at"), "r.completed_at", MOMENT, 20),
        Column(_("Last changed"), "r.changed_at", MOMENT, 20),
        Column(_("Excluded at"), "r.excluded_at", MOMENT, 20),
        Column(_("Why excluded"), "r.excluded_reason", width=24),
        Column(_("Looked like a machine’s at"), "r.suspected_at", MOMENT, 20),
    ]
    if people:
        held += [
            Column(_("Customer"), "c.external_id"),
            Column(_("Name"), "c.name"),
            Column(_("Email"), "c.email", width=24),
            Column(_("Phone"), "c.phone"),
            Column(_("Reference"), "r.reference"),
            Column(_("Facts"), "CASE WHEN r.facts = '{}' THEN '' ELSE r.facts::text END", width=30),
        ]
    return held


# As REST shows an answer: a score, a list of option keys, the key alone of what can only be one, or a text.
_SINGLE = f"'{Kind.YES_NO}', '{Kind.CONTACT}'"
_VALUE = f"""CASE WHEN a.score IS NOT NULL THEN to_jsonb(a.score) WHEN a.choices = '[]' THEN to_jsonb(a.text)
             WHEN q.kind IN ({_SINGLE}) THEN a.choices -> 0 ELSE a.choices END"""
_ANSWERS = f"""(SELECT coalesce(jsonb_object_agg(q.key, {_VALUE})::text, '') FROM surveys_answer a
                JOIN surveys_question q ON q.id = a.question_id
                WHERE a.response_id = r.id AND q.key NOT IN ('{SCORE_KEY}', '{COMMENT_KEY}'))"""


def _question_columns(asked: Asked) -> list[Column]:
    instruments = list(asked.instruments or ())
    if len(instruments) != 1:
        return [Column(_("Other answers"), _ANSWERS, width=30)]
    rows = Question.objects.filter(instrument__slug=instruments[0]).exclude(key__in=(SCORE_KEY, COMMENT_KEY))
    return [_question_column(row) for row in rows.order_by("pk")]


def _question_column(question: Question) -> Column:
    told = {
        Kind.SCALE: "a.score",
        Kind.VERBATIM: "a.text",
    }.get(Kind(question.kind), "(SELECT string_agg(key, ', ') FROM jsonb_array_elements_text(a.choices) AS key)")
    sql = f"(SELECT {told} FROM surveys_answer a WHERE a.response_id = r.id AND a.question_id = {question.pk:d})"
    return Column(question.key, sql, NUMBER if question.kind == Kind.SCALE else TEXT, 20)


# --- Rows -------------------------------------------------------------------------------------------------------------


def csv_bytes(export: Export, says: Sequence[Sequence[Value]]) -> Iterator[bytes]:
    """The file: what it says of itself, an empty line, heads, rows."""
    # PostgreSQL ends its lines with a line feed alone; a file has one kind of end.
    top = [line.removesuffix("\r\n") + "\n" for line in map(csv_line, [*says, [], export.heads])]
    yield (BOM + "".join(top)).encode()
    for ids in _batches(export.asked):
        yield csv_rows(export, ids)


def xlsx_bytes(export: Export, says: Sequence[Sequence[Value]], title: str) -> Iterator[bytes]:
    """The same as a workbook."""

    def rows() -> Iterator[Sequence[Value]]:
        yield from says
        yield []
        yield export.heads
        for ids in _batches(export.asked):
            yield from rows_of(export, ids)

    head = len(says) + 1
    widths = [column.width for column in export.columns]
    return xlsx_lines(rows(), title=title, bold={0, head}, frozen=head + 1, widths=widths)


def count_up_to(asked: Asked, most: int) -> int:
    """How many are asked for, counted no further than `most`."""
    condition = response_conditions(asked)
    if condition is None:
        return 0
    where, parameters = condition
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT FROM surveys_response r WHERE {where} LIMIT %s) some_rows",
            [*parameters, most],
        )
        return int(cursor.fetchone()[0])


def _batches(asked: Asked) -> Iterator[list[int]]:
    """Ids in the page's order: each batch goes on where the one before ended, so what arrives meanwhile moves nothing."""
    after: Place | None = None
    while True:
        found = find_responses(asked, BATCH, after)
        if found.places:
            yield [place.id for place in found.places]
            after = found.places[-1]
        if not found.more:
            return


def rows_of(export: Export, ids: Sequence[int]) -> Iterator[Sequence[Value]]:
    """Rows of a workbook: times are those of the organisation's clock, since no cell can say its zone."""
    cells = [f"{name}::timestamp" if column.kind == MOMENT else name for name, column in _named(export)]
    with _in_zone(export.zone), connection.cursor() as cursor:
        cursor.execute(*_query(export, cells, ids))
        rows = cursor.fetchall()
    yield from rows


# A text that begins as in FORMULA is led by an apostrophe, as `harmless` does it; nothing is nothing, not an empty text in quotes.
_CSV_CELLS: Mapping[str, str] = {
    TEXT: "CASE WHEN left(ltrim({0}, ' '), 1) = ANY(%(formula)s) THEN '''' || {0} ELSE nullif({0}, '') END",
    NUMBER: "{0}",
    DAY: "to_char({0}, 'YYYY-MM-DD')",
    MOMENT: "to_char({0}, 'YYYY-MM-DD\"T\"HH24:MI:SSTZH:TZM')",
}


def csv_rows(export: Export, ids: Sequence[int]) -> bytes:
    """Lines of a CSV."""
    held = io.BytesIO()
    with _in_zone(export.zone), connection.cursor() as cursor:
        told = cursor.mogrify(*csv_query(export, ids)).decode()
        cursor.copy_expert(f"COPY ({told}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')", held)
    return held.getvalue()


def csv_query(export: Export, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """What `csv_rows` copies: SQL with its parameters."""
    return _query(export, [_CSV_CELLS[column.kind].format(name) for name, column in _named(export)], ids)


def _named(export: Export) -> list[tuple[str, Column]]:
    """Each column under its name in `_query`."""
    return [(f"held.c{number}", column) for number, column in enumerate(export.columns)]


def _query(export: Export, cells: Sequence[str], ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """`cells` of the responses with these ids, in the page's order. Each column's own SQL is worked out once (OFFSET 0)."""
    columns = ", ".join(f"{column.sql} AS c{number}" for number, column in enumerate(export.columns))
    sql = f"""
SELECT {", ".join(cells)} FROM (
    SELECT {columns} FROM surveys_response r
    JOIN surveys_instrumentversion v ON v.id = r.version_id JOIN surveys_instrument i ON i.id = v.instrument_id
    JOIN unnest(%(place_ids)s, %(slugs)s, %(labels)s, %(journeys)s, %(stages)s, %(channels)s)
        AS place(id, slug, label, journey, stage, channel) ON place.id = r.touchpoint_id
    LEFT JOIN unnest(%(metrics)s, %(points)s, %(scores)s, %(words)s) AS band(metric, points, score, word)
        ON (band.metric, band.points, band.score) = (i.metric, i.points, r.score)
    LEFT JOIN surveys_customer c ON c.id = r.customer_id AND c.erased_at IS NULL
    WHERE r.id = ANY(%(ids)s) ORDER BY r.responded_at DESC, r.id DESC OFFSET 0
) held"""
    of_places = ("place_ids", "slugs", "labels", "journeys", "stages", "channels")
    of_bands = ("metrics", "points", "scores", "words")
    return sql, {
        **dict(zip(of_places, map(list, zip(*export.places, strict=True)), strict=True)),
        **dict(zip(of_bands, map(list, zip(*export.bands, strict=True)), strict=True)),
        "ids": list(ids),
        "formula": list(FORMULA),
    }


@contextmanager
def _in_zone(zone: str) -> Iterator[None]:
    """Times are told on the organisation's clock."""
    settings = {"TimeZone": zone, "work_mem": _MEMORY, "jit": "off"}
    with transaction.atomic():
        with connection.cursor() as cursor:
            told = ", ".join(["set_config(%s, %s, true)"] * len(settings))
            cursor.execute(f"SELECT {told}", [part for pair in settings.items() for part in pair])
        yield
        with connection.cursor() as cursor:  # whatever is around goes on in its own
            cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")
