"""The form's own logic. In: a version's wordings and what was posted (or sent as JSON). Out: Given answers, or errors by question key.

A question that is not shown for the answers given is not answered, whatever came for it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.http import QueryDict
from django.utils.translation import gettext as _

from surveys.flow.follow import Link
from surveys.flow.programme.values import is_link
from surveys.flow.respond import SCORE_KEY, Given, Submission
from surveys.models import Instrument, InstrumentVersion, Mode, Organisation, Touchpoint, Wording
from surveys.models.instruments import NO, YES, Display, Kind
from surveys.phrases import STANDARD, Phrases
from surveys.pictures import pictures
from surveys.texts import fill, pick

MAX_TEXT = 5000
FACTS_MAX, FACTS_COUNT, REFERENCE_MAX = 8_000, 50, 200  # characters, facts, characters
OPEN_MODES = {"qr": Mode.QR, "kiosk": Mode.KIOSK, "web": Mode.WEB}  # how people come to an open form; else by a link


class Point(NamedTuple):
    """One score as a page draws it."""

    score: int
    name: str  # what it is called where it is not seen
    picture: str  # a path, "" for a number


@dataclass(slots=True)
class Asked:
    """One question as a page or an app shows it, in one language."""

    key: str
    kind: str
    text: str
    low_label: str
    high_label: str
    required: bool
    scores: list[int]
    options: list[tuple[str, str]]
    show_if: Mapping[str, list[Any]]
    display: str = "numbers"
    # (lowest score, highest score, text asked in place of `text` when the instrument's score lies between them)
    by_band: list[tuple[int, int, str]] = field(default_factory=list)
    value: Any = None
    error: str = ""
    # What only a page needs: see `draw`.
    points: list[Point] = field(default_factory=list)
    step: str = ""  # "Question 1 of 3"; "" where there is one question only

    @property
    def shown_for(self) -> str:
        """`show_if` for the page's script, such as "score:1,2,3"."""
        return ";".join(f"{key}:{','.join(map(str, values))}" for key, values in self.show_if.items())

    def text_for(self, score: Any) -> str:
        """What is asked of somebody with this score; `text` where it is not known."""
        found = (text for low, high, text in self.by_band if isinstance(score, int) and low <= score <= high)
        return next(found, self.text)


@dataclass(slots=True)
class Checked:
    """The outcome of validation: answers, or errors by question key."""

    answers: list[Given] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


# Of answered versions, which never change, by their id; what is shown today is a handful.
_frozen: dict[int, list[Wording]] = {}
FROZEN_MAX = 500


def wordings_of(version: InstrumentVersion) -> list[Wording]:
    """The wordings with their questions, in order. Read-only: those of an answered version are kept in the process."""
    found = frozen_wordings(version.pk)
    if found is None:
        found = list(version.wordings.select_related("question").order_by("position"))
        if version.answered:
            if len(_frozen) >= FROZEN_MAX:
                _frozen.clear()
            _frozen[version.pk] = found
    return found


def frozen_wordings(version_id: int) -> list[Wording] | None:
    """The wordings of an answered version that this process has shown before."""
    return _frozen.get(version_id)


def questions_in(
    wordings: Sequence[Wording],
    language: str,
    fallbacks: Sequence[str],
    names: Mapping[str, str],
    say: Phrases = STANDARD,
) -> list[Asked]:
    """The questions in one language, placeholders filled; what needs no author comes from `say`."""
    scored = next((wording.question for wording in wordings if wording.question.key == SCORE_KEY), None)

    def by_band(wording: Wording) -> list[tuple[int, int, str]]:
        found = []
        for band, texts in wording.by_band.items():
            scores = scored.scale.scores_of(band) if scored else range(0)
            text = pick(texts, language, fallbacks)
            if scores and text:
                found.append((scores[0], scores[-1], fill(text, **names)))
        return found

    return [
        Asked(
            key=wording.question.key,
            kind=wording.question.kind,
            text=fill(pick(wording.text, language, fallbacks), **names) or say["contact"],
            low_label=pick(wording.low_label, language, fallbacks),
            high_label=pick(wording.high_label, language, fallbacks),
            required=wording.required,
            scores=list(wording.question.scale.scores) if wording.question.kind == "scale" else [],
            options=[(YES, say["yes"]), (NO, say["no"])]
            if wording.question.kind in (Kind.YES_NO, Kind.CONTACT)
            else [(key, pick(texts, language, fallbacks) or key) for key, texts in wording.options.items()],
            show_if=wording.show_if,
            display=wording.display,
            by_band=by_band(wording),
        )
        for wording in wordings
    ]


def asked_at_most(questions: Sequence[Asked], most: int) -> list[Asked]:
    """Without those that nobody is asked, since so many before them are asked of everybody. 0: all."""
    always = 0
    for index, question in enumerate(questions):
        if 0 < most <= always:
            return list(questions[:index])
        always += not question.show_if
    return list(questions)


def thanks_for(
    instrument: Instrument, score: int | None, say: Phrases, text_of: Callable[[Mapping[str, str]], str]
) -> dict[str, Any]:
    """Title, text, links and share link of the thank-you page; `text_of` picks from a map of languages.

    What is not set for the band of the score is that of "any", and what is not set there is ours.
    """
    band = instrument.scale.band(score) if instrument.scale.contains(score) else ""  # type: ignore[arg-type]
    own = {**instrument.thanks.get("any", {}), **{k: v for k, v in instrument.thanks.get(band, {}).items() if v}}
    links = [(text_of(link.get("label", {})) or link["url"], link["url"]) for link in own.get("links", [])]
    share = instrument.share if is_link(instrument.share.get("url", "")) else {}
    return {
        "title": text_of(own.get("title", {})) or say["thanks"],
        "text": text_of(own.get("text", {})) or say["thanks_text"],
        "links": [(label, url) for label, url in links if is_link(url)],
        "share": (text_of(share.get("label", {})) or share["url"], share["url"]) if share else None,
    }


def draw(questions: Sequence[Asked], say: Phrases = STANDARD) -> None:
    """Give each question what a page shows beside its text: its step, and its scores with their names and pictures."""
    for number, question in enumerate(questions, 1):
        if len(questions) > 1:
            question.step = say.fill("progress", number=number, total=len(questions))
        paths = pictures(question.display, question.scores)
        question.points = [
            Point(score, _name_of_score(question, score, say), path)
            for score, path in zip(question.scores, paths, strict=True)
        ]


def _name_of_score(question: Asked, score: int, say: Phrases) -> str:
    """Such as "3 of 5", "4 stars" or, at an end of the scale, "1 of 5, Very dissatisfied"."""
    low, high = question.scores[0], question.scores[-1]
    name = (
        say.fill("stars", count=score)
        if question.display == Display.STARS
        else say.fill("score_of", score=score, high=high)
    )
    label = question.low_label if score == low else question.high_label if score == high else ""
    return f"{name}{say['between_labels']}{label}" if label else name


def posted_values(wordings: Sequence[Wording], data: QueryDict) -> dict[str, Any]:
    """What a browser posted, by question key; numbers as int where they are one, empty fields left out."""
    values: dict[str, Any] = {}
    for wording in wordings:
        key, kind = wording.question.key, wording.question.kind
        if kind == "choices":
            picked = [value for value in data.getlist(key) if value]
            if picked:
                values[key] = picked
            continue
        raw = data.get(key, "").strip()
        if not raw:
            continue
        values[key] = int(raw) if kind == "scale" and raw.isascii() and raw.isdigit() and len(raw) < 4 else raw
    return values


def check(
    wordings: Sequence[Wording],
    values: Mapping[str, Any],
    say: Phrases = STANDARD,
    *,
    complete: bool = True,
    most: int = 0,
) -> Checked:
    """Validate values by question key against a version. Absent and None are skipped questions.

    Where a page records by itself (not `complete`), what is missing or not yet right is passed over. `most` is how many
    questions one person is asked (0: all that apply): one beyond that need not be answered.
    """
    checked = Checked()
    accepted: dict[str, Any] = {}
    asked = 0
    for wording in wordings:
        key = wording.question.key
        if not is_shown(wording.show_if, accepted):
            continue
        asked += 1
        value = values.get(key)
        if isinstance(value, str) and not value.strip():
            value = None  # blanks say nothing
        if value is None or value == []:
            if wording.required and complete and not 0 < most < asked:
                checked.errors[key] = say["write" if wording.question.kind == Kind.VERBATIM else "choose"]
            continue
        given, error = _read(wording, value, say)
        if given is None:
            if complete:
                checked.errors[key] = error
            continue
        accepted[key] = given.choices[0] if wording.question.kind in (Kind.YES_NO, Kind.CONTACT) else value
        checked.answers.append(given)
    if not checked.errors and not checked.answers:
        checked.errors[wordings[0].question.key] = say["choose"]
    return checked


def is_shown(show_if: Mapping[str, Sequence[Any]], accepted: Mapping[str, Any]) -> bool:
    """Whether every earlier answer that is named has one of the listed values."""
    for key, wanted in show_if.items():
        value = accepted.get(key)
        values = value if isinstance(value, list) else [value]
        if not any(item in wanted for item in values):
            return False
    return True


def _read(wording: Wording, value: Any, say: Phrases) -> tuple[Given | None, str]:
    question = wording.question
    if question.kind == "scale":
        scale = question.scale
        if not scale.contains(value):
            return None, say.fill("score_range", low=scale.low, high=scale.high)
        return Given(question, score=value), ""
    if question.kind == "verbatim":
        if not isinstance(value, str):
            return None, _("A comment is a text.")  # only a program can get there
        text = value.replace("\r\n", "\n").strip()
        if len(text) > MAX_TEXT:
            return None, say.fill("too_long", count=MAX_TEXT)
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            return None, say["not_storable"]
        return Given(question, text=text), ""
    if question.kind in (Kind.YES_NO, Kind.CONTACT):
        said = YES if value is True else NO if value is False else value
        return (Given(question, choices=(said,)), "") if said in (YES, NO) else (None, say["not_a_choice"])
    picked = value if isinstance(value, list) else [value]
    if question.kind == "choice" and len(picked) != 1:
        return None, say["choose_one"]
    if any(not isinstance(item, str) or item not in wording.options for item in picked):
        return None, say["not_a_choice"]
    return Given(question, choices=tuple(dict.fromkeys(picked))), ""


def earlier_values(answers: Sequence[Any]) -> dict[str, Any]:
    """Recorded Answer rows as values by question key, to show them again."""
    return {answer.question.key: answer.value for answer in answers}


@dataclass(frozen=True, slots=True)
class Press:
    """How a browser sent a form, beside its answers."""

    complete: bool = True  # "Send" was pressed; else the page recorded a first touch by itself
    edit: int = 0
    from_scanner: bool = False
    privacy_notice_id: int | None = None
    reference: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Nothing that needs a second look or a place of its own."""
        return not (self.reference or self.facts or (self.from_scanner and not self.complete))


SEND = Press()


def posted_press(data: QueryDict, from_scanner: bool) -> Press:
    """The form's hidden fields. What cannot be right is left out: a customer did not write it, and is not to be stopped by it."""
    try:
        facts = json.loads(data.get("facts", "")[:FACTS_MAX])
    except ValueError:
        facts = {}
    kept = {key: value for key, value in facts.items() if is_fact(key, value)} if isinstance(facts, dict) else {}
    return Press(
        complete="partial" not in data,
        edit=_whole(data.get("edit", "")),
        from_scanner=from_scanner,
        privacy_notice_id=_whole(data.get("privacy", "")) or None,
        reference=storable(data.get("reference", ""))[:REFERENCE_MAX],
        facts=dict(list(kept.items())[:FACTS_COUNT]),
    )


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def is_fact(key: str, value: Any) -> bool:
    """A text, a number, a flag or null, under a name that can be kept."""
    if isinstance(value, str) and (len(value) > 500 or storable(value) != value.strip()):
        return False
    is_plain = (
        value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
    )
    return is_plain and 0 < len(key) <= 100 and storable(key) == key.strip()


def storable(text: str) -> str:
    """Without what PostgreSQL does not store, and without space around it."""
    return text.encode("utf-8", "ignore").decode().replace("\x00", "").strip()


def submission_of_link(link: Link, answers: Sequence[Given], language: str, press: Press = SEND) -> Submission:
    """What an invited customer sends, with what the link has read already."""
    invitation = link.invitation
    return Submission(
        client_id=uuid4(),
        touchpoint=invitation.touchpoint,
        version=link.version,
        mode=invitation.mode or Mode.LINK,
        answers=answers,
        language=language,
        location=invitation.location,
        customer=invitation.customer,
        invitation=invitation,
        organisation=link.organisation,
        segment=link.segment,
        **_said(press),
    )


def _said(press: Press) -> dict[str, Any]:
    return {name.name: getattr(press, name.name) for name in fields(press)}


def submission_of_open_form(
    touchpoint: Touchpoint,
    version: InstrumentVersion,
    answers: Sequence[Given],
    *,
    organisation: Organisation,
    form_id: UUID,
    via: str,
    location: str,
    language: str,
    press: Press = SEND,
) -> Submission:
    """What anyone sends from a touchpoint's open form; the form's id is its only authority."""
    return Submission(
        client_id=form_id,
        touchpoint=touchpoint,
        version=version,
        mode=OPEN_MODES.get(via, Mode.LINK),
        answers=answers,
        language=language,
        location=location,
        organisation=organisation,
        segment="",  # nobody in particular
        **_said(press),
    )
