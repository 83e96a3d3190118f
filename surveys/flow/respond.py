"""An answer into rows. In: a Submission. Out: a Response with Answers, and ±1 in the score ledger, in one transaction.

Day, touchpoint, mode, segment and location are stored at first recording; a −1 always uses the stored ones.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from surveys.flow.follow import CLOSED
from surveys.flow.index import index_now, wait_for_terms
from surveys.flow.prepared import Prepared
from surveys.flow.segments import SEGMENT_SQL, counted_segment
from surveys.flow.suspect import RUSH, SUSPECTED_BOT, is_suspect
from surveys.ids import time_ordered_id
from surveys.models import (
    Answer,
    Customer,
    InstrumentVersion,
    Invitation,
    Organisation,
    PrivacyNotice,
    Question,
    Response,
    ResponseChange,
    ScoreLedger,
    Touchpoint,
    Watcher,
    WatcherNotice,
)
from surveys.signals import ledger_written

SCORE_KEY = "score"
COMMENT_KEY = "comment"


@dataclass(frozen=True, slots=True)
class Given:
    """One answered question, validated: a score, choices, or a text."""

    question: Question
    score: int | None = None
    choices: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One validated submission. With an `invitation` its token is the identity, else `client_id` is."""

    client_id: uuid.UUID
    touchpoint: Touchpoint
    version: InstrumentVersion
    mode: str
    answers: Sequence[Given]
    language: str = ""
    location: str = ""
    customer: Customer | None = None
    invitation: Invitation | None = None
    responded_at: datetime | None = None
    body_hash: str = ""
    complete: bool = True  # "Send" was pressed; else the page recorded a touch by itself
    edit: int = 0  # the page's clock when it was given, in ms; 0 where it has none
    from_scanner: bool = False  # out of a network in which links of letters are looked at by machines
    privacy_notice_id: int | None = None
    reference: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    # What the caller has read already; left out, they are read here.
    organisation: Organisation | None = None
    segment: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """`created`: a new response; `changed`: an earlier one now says something else."""

    response: Response
    created: bool
    changed: bool = field(default=False)


class InvitationExpired(Exception):
    """The link's time is over."""


class BodyConflict(Exception):
    """The same id came with another body."""


def record_response(submission: Submission, now: datetime) -> Recorded:
    """Record a submission once; the same again changes nothing, another answer replaces the earlier one.

    InvitationExpired past the link's end; BodyConflict where `body_hash` is given and differs from the recorded one.
    """
    if is_suspect(submission.complete, submission.from_scanner):
        with transaction.atomic():
            response = _create(submission, now)
            if response is not None:
                _suspect(response, now)
    else:
        response = _create(submission, now)
    if response is not None:
        return Recorded(response, created=True)
    with transaction.atomic():
        existing = _locked(submission, now)
        if submission.body_hash:
            if existing.body_hash != submission.body_hash:
                raise BodyConflict
            return Recorded(existing, created=False)
        wait_for_terms(existing.pk)
        return Recorded(existing, created=False, changed=_change(existing, submission, now))


def _create(submission: Submission, now: datetime) -> Response | None:
    """The first recording, as one statement that commits by itself; None where there is a response already, or no right to one.

    The link is marked as answered first, so a second submission at the same moment waits, then finds it answered.
    """
    organisation = submission.organisation or Organisation.current()
    response = Response(
        client_id=time_ordered_id(now) if submission.invitation else submission.client_id,
        invitation=submission.invitation,
        customer=submission.customer,
        touchpoint=submission.touchpoint,
        version=submission.version,
        mode=submission.mode,
        segment=_segment(submission, organisation),
        location=submission.location,
        language=submission.language,
        day=organisation.day_of(submission.responded_at or now),
        responded_at=submission.responded_at or now,
        recorded_at=now,
        body_hash=submission.body_hash,
        completed_at=now if submission.complete else None,
        edit=_clocked(submission.edit, now),
        privacy_notice_id=submission.privacy_notice_id,
        reference=submission.reference,
        facts=dict(submission.facts),
        **_shown(submission.answers),
    )
    answers = submission.answers
    with connection.cursor() as cursor:
        _CREATE[_is_bad_news(answers), not submission.version.answered].execute(
            cursor,
            {
                "invitation": response.invitation_id,
                **{name: getattr(response, name) for name in _COLUMNS},
                "facts": json.dumps(response.facts),
                **_given(answers, now),
            },
        )
        row = cursor.fetchone()
    if row is None:
        return None
    response.pk = row[0]
    if any(given.score is not None for given in answers):
        ledger_written.send(sender=Response)
    return response


# Each column of a response that a submission says, with its type.
_COLUMNS = {
    "client_id": "uuid",
    "customer_id": "bigint",
    "touchpoint_id": "bigint",
    "version_id": "bigint",
    "mode": "text",
    "segment": "text",
    "location": "text",
    "language": "text",
    "day": "date",
    "responded_at": "timestamptz",
    "score": "smallint",
    "comment": "text",
    "body_hash": "text",
    "completed_at": "timestamptz",
    "edit": "bigint",
    "privacy_notice_id": "bigint",
    "reference": "text",
    "facts": "jsonb",
}
_ANSWERS = {
    "questions": "bigint[]",
    "scores": "smallint[]",
    "choices": "text[]",
    "texts": "text[]",
    "now": "timestamptz",
}


def _given(answers: Sequence[Given], now: datetime) -> dict[str, Any]:
    """The values of `_ANSWERS`."""
    return {
        "questions": [given.question.pk for given in answers],
        "scores": [given.score for given in answers],
        "choices": [json.dumps(given.choices) for given in answers],
        "texts": [given.text for given in answers],
        "now": now,
    }


def _recording(
    name: str, link: str, says: Sequence[str], values: str, rows: str, places: Mapping[str, str]
) -> dict[tuple[bool, bool], Prepared]:
    """The statement that records a first answer, by (watchers hear of it, it freezes its version): only what is needed is opened.

    `link` finds the invitation `i`, if there is one, which is locked and marked as answered; `says` are the columns to learn of
    it. `values` are those of invitation_id and `_COLUMNS`, out of `rows`.
    """
    told = """, told AS (
    INSERT INTO surveys_watchernotice (watcher_id, response_id, created_at, attempts)
    SELECT w.id, recorded.id, %(now)s, 0 FROM recorded JOIN surveys_watcher w USING (touchpoint_id) WHERE w.active
)"""
    frozen = """, frozen AS (
    UPDATE surveys_instrumentversion v SET answered = true FROM recorded WHERE v.id = recorded.version_id AND NOT v.answered
)"""
    sql = f"""
WITH link AS (
    UPDATE surveys_invitation i SET status = 'answered', reason = '', answered_at = %(now)s, lease_until = NULL
    {link} AND i.status <> 'answered' AND (i.expires_at IS NULL OR i.expires_at > %(now)s)
    RETURNING i.id{"".join(f", {column}" for column in says)}
), recorded AS (
    INSERT INTO surveys_response (invitation_id, {", ".join(_COLUMNS)}, recorded_at, excluded_reason)
    SELECT {values}, %(now)s, '' {rows}
    ON CONFLICT DO NOTHING RETURNING id, client_id, day, touchpoint_id, version_id, mode, segment, location
), given AS (
    SELECT * FROM unnest(%(questions)s, %(scores)s, %(choices)s::jsonb[], %(texts)s)
        AS given(question_id, score, choices, text)
), answered AS (
    INSERT INTO surveys_answer (response_id, question_id, score, choices, text)
    SELECT recorded.id, given.* FROM recorded, given
), counted AS (
    INSERT INTO surveys_scoreledger (day, touchpoint_id, question_id, mode, segment, location, score, delta)
    SELECT day, touchpoint_id, question_id, mode, segment, location, score, 1 FROM recorded, given WHERE score IS NOT NULL
), due AS (
    INSERT INTO surveys_termsdue (response_id) SELECT id FROM recorded
)"""
    return {
        (bad, first): Prepared(
            f"{name}{'_bad' * bad}{'_first' * first}",
            f"{sql}{told if bad else ''}{frozen if first else ''} SELECT id, client_id FROM recorded",
            {**_ANSWERS, **places},
        )
        for bad in (False, True)
        for first in (False, True)
    }


# A page says which notice it showed. One that never was is none: whoever changed a hidden field has still answered.
_NOTICE = "(SELECT n.id FROM surveys_privacynotice n WHERE n.id = %(privacy_notice_id)s)"
_CREATE = _recording(
    "cx_record",
    "WHERE i.id = %(invitation)s",
    (),
    ", ".join(["%(invitation)s", *(f"%({name})s" if name != "privacy_notice_id" else _NOTICE for name in _COLUMNS)]),
    "WHERE %(invitation)s IS NULL OR EXISTS (SELECT FROM link)",
    {**_COLUMNS, "invitation": "bigint"},
)
# The same for whoever followed a link, all that it leads to read on the way: see `answer_link`.
_ANSWER_LINK = _recording(
    "cx_answer_link",
    f"""FROM surveys_organisation o, surveys_customer c, surveys_instrumentversion v,
        LATERAL (SELECT {SEGMENT_SQL} AS name) said LEFT JOIN surveys_segment counted ON counted.name = said.name
    WHERE i.token = %(token)s AND i.status NOT IN ('{"', '".join(sorted(CLOSED))}')
        AND o.id = 1 AND o.time_zone = %(zone)s AND c.id = i.customer_id AND c.erased_at IS NULL
        AND v.id = %(version)s AND v.instrument_id = i.instrument_id
        AND (counted.name IS NOT NULL OR coalesce(said.name, '') = '')""",
    (
        "i.customer_id",
        "i.touchpoint_id",
        "i.location",
        "coalesce(nullif(i.mode, ''), 'link') AS mode",
        "coalesce(counted.name, '') AS segment",
        "CASE WHEN o.languages ? %(language)s THEN %(language)s ELSE i.language END AS language",
    ),
    f"""link.id, %(client_id)s, link.customer_id, link.touchpoint_id, %(version)s, link.mode, link.segment, link.location,
       link.language, %(day)s, %(now)s, %(score)s, %(comment)s, '', %(completed_at)s, %(edit)s,
       {_NOTICE}, '', '{{}}'""",
    "FROM link",
    {"token": "text", "client_id": "uuid", "version": "bigint", "zone": "text", "day": "date", "language": "text"}
    | {name: _COLUMNS[name] for name in ("score", "comment", "completed_at", "edit", "privacy_notice_id")},
)


def answer_link(
    token: str, version_id: int, answers: Sequence[Given], language: str, zone: str, now: datetime,
    *, complete: bool = True, edit: int = 0, privacy_notice_id: int | None = None,
) -> bool:  # fmt: skip
    """Record the first answer to an open link, as one statement that commits by itself, without reading the link before.

    That is what most answers are. False, and nothing recorded, for all others, which go the long way: a link that is unknown,
    closed or answered, another instrument's version, a segment that is not counted yet, an organisation in another `zone`.
    `language` is the form's; one that the organisation does not speak gives way to the invitation's. `version_id` is frozen.
    """
    with connection.cursor() as cursor:
        _ANSWER_LINK[_is_bad_news(answers), False].execute(
            cursor,
            {
                "token": token,
                "client_id": time_ordered_id(now),
                "version": version_id,
                "zone": zone,
                "day": now.astimezone(ZoneInfo(zone)).date(),
                "language": language,
                "completed_at": now if complete else None,
                "edit": _clocked(edit, now),
                "privacy_notice_id": privacy_notice_id,
                **_shown(answers),
                **_given(answers, now),
            },
        )
        recorded = cursor.fetchone() is not None
    if recorded and any(given.score is not None for given in answers):
        ledger_written.send(sender=Response)
    return recorded


def _segment(submission: Submission, organisation: Organisation) -> str:
    if submission.segment is not None:
        return submission.segment
    with transaction.atomic():
        return counted_segment(submission.customer, organisation)


def _locked(submission: Submission, now: datetime) -> Response:
    """The response that this submission edits, locked; the lock on the token comes first."""
    responses = Response.objects.select_for_update(of=("self",))
    if submission.invitation is None:
        return responses.get(client_id=submission.client_id)
    invitation = Invitation.objects.select_for_update(of=("self",), no_key=True).get(pk=submission.invitation.pk)
    if invitation.expires_at is not None and invitation.expires_at <= now:
        raise InvitationExpired
    return responses.get(invitation=invitation)


def _change(response: Response, submission: Submission, now: datetime) -> bool:
    """Replace the answers of a locked response and keep the former ones as a ResponseChange; False where they say the same.

    What counts is the last one by when it was given, not by when it came: a page without a network sends its own days later.
    """
    answers = submission.answers
    if not submission.complete:
        if submission.edit <= response.edit:
            return False  # what a page recorded by itself, overtaken by what came after it
        if submission.from_scanner and response.suspected_at is None:
            return False  # a machine that follows the link of somebody who has answered
        if is_suspect(submission.complete, submission.from_scanner, _is_rushed(response, answers, now)):
            if response.completed_at is not None:
                return False
            if response.suspected_at is None:
                _suspect(response, now)
    else:
        _complete(response, now)
        if 0 < submission.edit < response.edit:
            return False
    response.edit = max(response.edit, _clocked(submission.edit, now))
    _note_circumstances(response, submission)
    rows = {answer.question_id: answer for answer in response.answers.select_related("question")}
    before = {key: (row.score, tuple(row.choices), row.text) for key, row in rows.items()}
    after = {given.question.pk: (given.score, given.choices, given.text) for given in answers}
    if before == after:
        response.save(update_fields=["edit", *_CIRCUMSTANCES])
        return False
    old = {key: row.score for key, row in rows.items() if row.score is not None}
    new = _scores(answers)
    ResponseChange.objects.create(
        response=response,
        replaced_at=now,
        score=response.score,
        answers={row.question.key: row.value for row in rows.values()},
    )
    Answer.objects.filter(response=response).delete()
    _write_answers(response, answers)
    if response.excluded_at is None:
        _append(response, {key: score for key, score in old.items() if new.get(key) != score}, -1)
        _append(response, {key: score for key, score in new.items() if old.get(key) != score}, +1)
    for name, value in _shown(answers).items():
        setattr(response, name, value)
    response.changed_at = now
    response.save(update_fields=["score", "comment", "changed_at", "edit", *_CIRCUMSTANCES])
    _note_bad_news(response, answers, now)
    return True


_CIRCUMSTANCES = ("version", "privacy_notice", "language", "reference", "facts")


def _note_circumstances(response: Response, submission: Submission) -> None:
    """In which wording, under which notice and in which language it was answered now; what the page around said, if it did."""
    if response.version_id != submission.version.pk:
        response.version = submission.version
        # Now it is answered, and frozen as any other.
        InstrumentVersion.objects.filter(pk=submission.version.pk, answered=False).update(answered=True)
    notice = submission.privacy_notice_id
    if notice and notice != response.privacy_notice_id and PrivacyNotice.objects.filter(pk=notice).exists():
        response.privacy_notice_id = notice
    response.language = submission.language or response.language
    response.reference = submission.reference or response.reference
    response.facts = dict(submission.facts) or response.facts


def _clocked(edit: int, now: datetime) -> int:
    """The page's clock (ms), which is never ahead of ours; ours where it has none."""
    ours = int(now.timestamp() * 1000)
    return min(edit, ours) if edit else ours


def _is_rushed(response: Response, answers: Sequence[Given], now: datetime) -> bool:
    """Another score than the one that was recorded a moment ago: a machine tries them all."""
    score = _shown(answers)["score"]
    return score != response.score and now - (response.changed_at or response.recorded_at) < RUSH


def _suspect(response: Response, now: datetime) -> None:
    """Leave it out until staff decide, or "Send" is pressed."""
    response.suspected_at = now
    if response.excluded_at is None:
        _append(response, _recorded_scores(response), -1)
        response.excluded_at, response.excluded_reason = now, SUSPECTED_BOT
    response.save(update_fields=["suspected_at", "excluded_at", "excluded_reason"])


def _complete(response: Response, now: datetime) -> None:
    """A press of "Send" is an answer: what was only suspected counts again, unless staff have decided."""
    if response.completed_at is None:
        response.completed_at = now
    if response.excluded_reason == SUSPECTED_BOT and response.excluded_by_id is None:
        _append(response, _recorded_scores(response), +1)
        response.excluded_at, response.excluded_reason = None, ""
    response.save(update_fields=["completed_at", "excluded_at", "excluded_reason"])


def _shown(answers: Sequence[Given]) -> dict[str, Any]:
    """The two answers that lists show, beside their rows."""
    by_key = {given.question.key: given for given in answers}
    score, comment = by_key.get(SCORE_KEY), by_key.get(COMMENT_KEY)
    return {"score": score.score if score else None, "comment": comment.text if comment else ""}


def _write_answers(response: Response, answers: Sequence[Given]) -> None:
    Answer.objects.bulk_create(
        Answer(
            response=response,
            question=given.question,
            score=given.score,
            choices=list(given.choices),
            text=given.text,
        )
        for given in answers
    )


def _scores(answers: Sequence[Given]) -> dict[int, int]:
    return {given.question.pk: given.score for given in answers if given.score is not None}


def _append(response: Response, scores: Mapping[int, int], delta: int) -> None:
    """Ledger rows under the response's stored key."""
    if not scores:
        return
    ScoreLedger.objects.bulk_create(
        ScoreLedger(
            day=response.day,
            touchpoint_id=response.touchpoint_id,
            question_id=question_id,
            mode=response.mode,
            segment=response.segment,
            location=response.location,
            score=score,
            delta=delta,
        )
        for question_id, score in scores.items()
    )
    ledger_written.send(sender=Response)


def _note_bad_news(response: Response, answers: Sequence[Given], now: datetime) -> None:
    """A notice per watcher where the instrument's own score lies in the lowest band; none that waits where it no longer does."""
    if not _is_bad_news(answers):
        WatcherNotice.objects.filter(response=response, sent_at=None).delete()
        return
    watchers = Watcher.objects.filter(touchpoint_id=response.touchpoint_id, active=True)
    WatcherNotice.objects.bulk_create(
        [WatcherNotice(watcher=watcher, response=response, created_at=now) for watcher in watchers],
        ignore_conflicts=True,
    )


def _is_bad_news(answers: Sequence[Given]) -> bool:
    return any(
        given.question.key == SCORE_KEY
        and given.score is not None
        and given.question.scale.band(given.score) == given.question.scale.lowest_band
        for given in answers
    )


def exclude_response(response_id: int, reason: str, user: Any, now: datetime) -> None:
    """Take a response out of every metric, with a reason; it stays where it is. Twice is the same as once."""
    if not reason.strip():
        raise ValueError("an exclusion needs a reason")
    with transaction.atomic():
        response = Response.objects.select_for_update(of=("self",)).get(pk=response_id)
        is_undecided = response.excluded_reason == SUSPECTED_BOT and response.excluded_by_id is None
        if response.excluded_at is None:
            _append(response, _recorded_scores(response), -1)
        elif not is_undecided:
            return
        response.excluded_at, response.excluded_reason, response.excluded_by = now, reason.strip()[:300], user
        response.save(update_fields=["excluded_at", "excluded_reason", "excluded_by"])
        index_now([response_id])


def include_response(response_id: int) -> None:
    """Count an excluded response again."""
    with transaction.atomic():
        response = Response.objects.select_for_update(of=("self",)).get(pk=response_id)
        if response.excluded_at is None:
            return
        _append(response, _recorded_scores(response), +1)
        response.excluded_at, response.excluded_reason, response.excluded_by = None, "", None
        response.save(update_fields=["excluded_at", "excluded_reason", "excluded_by"])
        index_now([response_id])


def decide_suspect(response_id: int, counts: bool, user: Any, now: datetime) -> bool:
    """What staff make of an answer that looked like a machine's, for good. False where it no longer waits for that.

    Somebody else was quicker then, or "Send" was pressed: what stands now is not overruled by a page that was opened before.
    """
    with transaction.atomic():
        response = Response.objects.select_for_update(of=("self",)).get(pk=response_id)
        if not response.is_suspect:
            return False
        if counts:
            _append(response, _recorded_scores(response), +1)
            response.excluded_at, response.excluded_reason = None, ""
        else:
            response.excluded_at, response.excluded_by = now, user
        response.save(update_fields=["excluded_at", "excluded_reason", "excluded_by"])
        index_now([response_id])
        return True


def _recorded_scores(response: Response) -> dict[int, int]:
    rows = response.answers.exclude(score=None).values_list("question_id", "score")
    return {question_id: score for question_id, score in rows if score is not None}
