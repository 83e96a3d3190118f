"""The form's own logic. In: a version's wordings and what was posted (or sent as JSON). Out: Given answers, or errors by question key.

A question that is not shown for the answers given is not answered, whatever came for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.http import QueryDict
from django.utils.translation import gettext as _

from surveys.flow.follow import Link
from surveys.flow.respond import Given, Submission
from surveys.models import InstrumentVersion, Mode, Organisation, Touchpoint, Wording
from surveys.texts import fill, pick

MAX_TEXT = 5000
OPEN_MODES = {"qr": Mode.QR, "kiosk": Mode.KIOSK, "web": Mode.WEB}  # how people come to an open form; else by a link


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
    value: Any = None
    error: str = ""

    @property
    def shown_for(self) -> str:
        """`show_if` for the page's script, such as "score:1,2,3"."""
        return ";".join(f"{key}:{','.join(map(str, values))}" for key, values in self.show_if.items())

    @property
    def is_shown(self) -> bool:
        return not self.show_if


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
    wordings: Sequence[Wording], language: str, fallbacks: Sequence[str], names: Mapping[str, str]
) -> list[Asked]:
    """The questions in one language, placeholders filled."""
    return [
        Asked(
            key=wording.question.key,
            kind=wording.question.kind,
            text=fill(pick(wording.text, language, fallbacks), **names),
            low_label=pick(wording.low_label, language, fallbacks),
            high_label=pick(wording.high_label, language, fallbacks),
            required=wording.required,
            scores=list(wording.question.scale.scores) if wording.question.kind == "scale" else [],
            options=[(key, pick(texts, language, fallbacks) or key) for key, texts in wording.options.items()],
            show_if=wording.show_if,
        )
        for wording in wordings
    ]


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


def check(wordings: Sequence[Wording], values: Mapping[str, Any]) -> Checked:
    """Validate values by question key against a version. Absent and None are skipped questions."""
    checked = Checked()
    accepted: dict[str, Any] = {}
    for wording in wordings:
        key = wording.question.key
        if not is_shown(wording.show_if, accepted):
            continue
        value = values.get(key)
        if isinstance(value, str) and not value.strip():
            value = None  # blanks say nothing
        if value is None or value == []:
            if wording.required:
                checked.errors[key] = _("Please choose an answer.")
            continue
        given, error = _read(wording, value)
        if given is None:
            checked.errors[key] = error
            continue
        accepted[key] = value
        checked.answers.append(given)
    if not checked.errors and not checked.answers:
        checked.errors[wordings[0].question.key] = _("Please choose an answer.")
    return checked


def is_shown(show_if: Mapping[str, Sequence[Any]], accepted: Mapping[str, Any]) -> bool:
    """Whether every earlier answer that is named has one of the listed values."""
    for key, wanted in show_if.items():
        value = accepted.get(key)
        values = value if isinstance(value, list) else [value]
        if not any(item in wanted for item in values):
            return False
    return True


def _read(wording: Wording, value: Any) -> tuple[Given | None, str]:
    question = wording.question
    if question.kind == "scale":
        scale = question.scale
        if not scale.contains(value):
            return None, _("A score is a whole number from %(low)d to %(high)d.") % {
                "low": scale.low,
                "high": scale.high,
            }
        return Given(question, score=value), ""
    if question.kind == "verbatim":
        if not isinstance(value, str):
            return None, _("A comment is a text.")
        text = value.replace("\r\n", "\n").strip()
        if len(text) > MAX_TEXT:
            return None, _("Please keep it within %(count)d characters.") % {"count": MAX_TEXT}
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            return None, _("This text has characters that cannot be stored.")
        return Given(question, text=text), ""
    picked = value if isinstance(value, list) else [value]
    if question.kind == "choice" and len(picked) != 1:
        return None, _("Please choose one answer.")
    if any(not isinstance(item, str) or item not in wording.options for item in picked):
        return None, _("This answer is not one of the choices.")
    return Given(question, choices=tuple(dict.fromkeys(picked))), ""


def earlier_values(answers: Sequence[Any]) -> dict[str, Any]:
    """Recorded Answer rows as values by question key, to show them again."""
    values: dict[str, Any] = {}
    for answer in answers:
        value = answer.score if answer.score is not None else (answer.choices or answer.text)
        values[answer.question.key] = value
    return values


def submission_of_link(link: Link, answers: Sequence[Given], language: str) -> Submission:
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
    )


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
    )
