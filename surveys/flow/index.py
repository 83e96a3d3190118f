"""What responses are found by. In: rows that say which response's terms are due. Out: a row of terms each, made from the response.

A recording or change leaves the row that waits in its own transaction, which costs it next to nothing; a worker makes the terms
some seconds later. A response is locked against change while its words are read, so what is erased never comes back.

Facets stand among the terms, behind a "/", which no word has: one index then answers for words, segment and month at once.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from surveys.models import Response, ResponseTerms, TermsDue
from surveys.terms import vector

BATCH = 500
MAX_FACET = 200  # bytes: longer ones stand by their digest
BACKLOG = 2_000  # more than that is no matter of seconds

_terms, _due = ResponseTerms._meta.db_table, TermsDue._meta.db_table
_CLAIM = f"""
DELETE FROM {_due} WHERE id IN (SELECT id FROM {_due} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING response_id
"""
_READ = f"""
SELECT id, touchpoint_id, version_id, mode, segment, location, language, score, responded_at, reference, comment,
       excluded_at IS NOT NULL, completed_at IS NOT NULL, suspected_at IS NOT NULL,
       CASE WHEN facts = '{{}}' THEN '{{}}'
            ELSE ARRAY(SELECT key || '=' || value FROM jsonb_each_text(facts) WHERE value IS NOT NULL) END
FROM {Response._meta.db_table} WHERE id = ANY(%s) ORDER BY id
"""
_TEXTS = """
SELECT response_id, text FROM surveys_answer WHERE response_id = ANY(%s) AND text <> '' ORDER BY response_id, question_id
"""
_WRITE = f"""
INSERT INTO {_terms} AS held (response_id, terms) SELECT id, terms::tsvector FROM unnest(%s::bigint[], %s::text[]) AS made(id, terms)
ON CONFLICT (response_id) DO UPDATE SET terms = excluded.terms WHERE held.terms <> excluded.terms
"""


def facet(kind: str, value: Any) -> str:
    """A facet as a term: `kind` is one letter of what `facets_of` makes."""
    said = f"/{kind}{value}"
    return said if len(said.encode()) <= MAX_FACET else f"/{kind}#{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def month_facet(at: datetime) -> str:
    """The month of a moment, in UTC whatever the organisation's zone: it only narrows where to look."""
    return facet("y", f"{at.astimezone(UTC):%Y%m}")


def index_waiting(limit: int = BATCH) -> int:
    """Make the terms of up to `limit` that wait; how many were made. What somebody is changing at the moment goes on waiting."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, [limit])
        claimed = {row[0] for row in cursor.fetchall()}
        made = _index(cursor, sorted(claimed), "FOR SHARE SKIP LOCKED")
        missed = claimed - made
        if missed:
            cursor.execute(
                f"INSERT INTO {_due} (response_id) SELECT id FROM surveys_response WHERE id = ANY(%s)", [list(missed)]
            )
        return len(made)


def index_now(response_ids: Iterable[int]) -> None:
    """Make the terms of these at once: for what must not be found any more, or must be found by whoever has just decided it."""
    with transaction.atomic(), connection.cursor() as cursor:
        # No share: a worker that has read these words is waited for, and what it wrote is written over.
        _index(cursor, sorted(response_ids), "FOR NO KEY UPDATE")


def wait_for_terms(response_id: int) -> None:
    """The terms of a response that was changed are due."""
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_due} (response_id) VALUES (%s)", [response_id])


def wait_for_all() -> int:
    """Every response waits for its terms again, the newest first; how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_due} (response_id) SELECT id FROM surveys_response ORDER BY responded_at DESC")
        return int(cursor.rowcount)


def has_backlog() -> bool:
    """Whether so many wait that searches miss some for longer than a reader waits."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT FROM {_due} OFFSET %s LIMIT 1", [BACKLOG])
        return cursor.fetchone() is not None


def _index(cursor: Any, ids: Sequence[int], lock: str) -> set[int]:
    """The ids whose terms were made: those that exist, and that the `lock` does not pass over."""
    if not ids:
        return set()
    cursor.execute(_READ + lock, [list(ids)])
    rows = cursor.fetchall()
    locked = [row[0] for row in rows]
    cursor.execute(_TEXTS, [locked])
    texts: dict[int, list[str]] = {}
    for response_id, text in cursor.fetchall():
        texts.setdefault(response_id, []).append(text)
    made = [vector(texts.get(row[0]) or [row[10]], _facets(row)) for row in rows]
    cursor.execute(_WRITE, [locked, made])
    return set(locked)


def _facets(row: Sequence[Any]) -> list[str]:
    """Of a row of `_READ`."""
    touchpoint, version, mode, segment, location, language, score, at, reference, comment = row[1:11]
    is_excluded, is_complete, is_suspected, facts = row[11:]
    held = [
        facet("t", touchpoint),
        facet("v", version),
        facet("m", mode),
        facet("s", segment),
        facet("l", location),
        facet("g", language),
        month_facet(at),
        facet("c", int(comment != "")),
        facet("x", int(is_excluded)),
        facet("p", int(is_complete)),
    ]
    if score is not None:
        held.append(facet("n", score))
    if is_suspected:
        held.append(facet("u", 1))
    if reference:
        held.append(facet("r", reference))
    return held + [facet("f", fact) for fact in facts]
