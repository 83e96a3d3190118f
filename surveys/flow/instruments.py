"""What an instrument asks, in versions. In: an instrument and its questions. Out: the version that asks them.

An answered version is frozen: other questions make the next version. One that nobody answered yet is replaced in place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from surveys.models import Instrument, InstrumentVersion, Question, Wording
from surveys.models.instruments import KEY, NO, YES, Display, Kind
from surveys.scales import SCALES, scale_for

Texts = Mapping[str, str]

MOST_PICTURES = 7  # eleven stars or faces fit on no phone

# Names of the form's own fields, and of what its address says.
RESERVED = frozenset(
    ("version", "language", "form", "reference", "facts", "privacy", "partial", "edit", "switch", "done", "lang", "via")
)

SCORE_KEY = "score"  # the question that carries the instrument's own metric


@dataclass(frozen=True, slots=True)
class QuestionTerms:
    """One question as a version is to ask it. Texts are maps of language to string.

    `metric` and `points` are for scales only and, left out there, are the instrument's. `show_if` maps keys of earlier questions
    to the values at which this one is shown; `options` maps option keys to texts, in order. `by_band` maps bands of the
    instrument's own scale to the text that is asked there in place of `text`. `display` is how a scale is drawn.
    """

    key: str
    kind: str
    text: Texts
    low: Texts = field(default_factory=dict)
    high: Texts = field(default_factory=dict)
    required: bool = False
    show_if: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    options: Mapping[str, Texts] = field(default_factory=dict)
    metric: str = ""
    points: int = 0
    by_band: Mapping[str, Texts] = field(default_factory=dict)
    display: str = Display.NUMBERS


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with question number `index` (from 0; -1 for the whole), at its `field` ("" for all of it)."""

    index: int
    field: str
    message: str


class InstrumentError(ValueError):
    """Questions that cannot be asked, with every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


def find_faults(metric: str, points: int, questions: Sequence[QuestionTerms]) -> list[Fault]:
    """What is wrong with `questions` in themselves, for an instrument of this metric and scale. Reads no database."""
    faults: list[Fault] = []
    earlier: dict[str, QuestionTerms] = {}
    for index, question in enumerate(questions):
        faults += [Fault(index, name, text) for name, text in _own_faults(question, metric, points, earlier)]
        earlier.setdefault(question.key, question)
    if SCORE_KEY not in earlier:
        faults.append(Fault(-1, "questions", _("One question must be the scale “%(key)s”.") % {"key": SCORE_KEY}))
    return faults


def _is_key(text: str) -> bool:
    try:
        KEY(text)
    except ValidationError:
        return False
    return True


def _own_faults(
    question: QuestionTerms, metric: str, points: int, earlier: Mapping[str, QuestionTerms]
) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    if not _is_key(question.key):
        faults.append(
            (
                "key",
                _("“%(key)s” is not a key: lower-case letters, digits and _, and a letter at the start.")
                % {"key": question.key},
            )
        )
    if question.key in RESERVED:
        faults.append(("key", _("The key “%(key)s” is the form's own; choose another.") % {"key": question.key}))
    if question.key in earlier:
        faults.append(("key", _("The key “%(key)s” stands twice.") % {"key": question.key}))
    if question.kind not in Kind.values:
        faults.append(
            (
                "kind",
                _("“%(kind)s” is not a kind; it is one of %(kinds)s.")
                % {"kind": question.kind, "kinds": ", ".join(Kind.values)},
            )
        )
        return faults
    if not any(question.text.values()) and question.kind != Kind.CONTACT:  # which has a standard text
        faults.append(("text", _("A question needs a text.")))
    is_scale = question.kind == Kind.SCALE
    if question.key == SCORE_KEY and not is_scale:
        faults.append(
            ("kind", _("“%(key)s” must be a scale: it carries the instrument's metric.") % {"key": SCORE_KEY})
        )
    if is_scale:
        own = (question.metric or metric, question.points or points)
        if own not in SCALES:
            faults.append(
                (
                    "scale",
                    _("There is no %(metric)s scale of %(points)s points.") % {"metric": own[0], "points": own[1]},
                )
            )
        elif question.key == SCORE_KEY and own != (metric, points):
            faults.append(("scale", _("“%(key)s” has the instrument's own metric and scale.") % {"key": SCORE_KEY}))
    else:
        if question.metric or question.points:
            faults.append(("metric" if question.metric else "scale", _("Only a scale has a metric and points.")))
        faults += [
            (name, _("Only a scale has labels at its ends.")) for name in ("low", "high") if getattr(question, name)
        ]
    faults += [("by_band", text) for text in _band_faults(question, metric, points)]
    faults += [("display", text) for text in _display_faults(question, metric, points)]
    if question.kind in (Kind.CHOICE, Kind.CHOICES):
        if not question.options:
            faults.append(("options", _("A question with choices needs options.")))
        for key, texts in question.options.items():
            if not _is_key(key):
                faults.append(("options", _("“%(key)s” is not a key of an option.") % {"key": key}))
            elif not any(texts.values()):
                faults.append(("options", _("The option “%(key)s” needs a text.") % {"key": key}))
    elif question.options:
        faults.append(("options", _("Only questions with choices have options.")))
    for key, values in question.show_if.items():
        faults += [("show_if", text) for text in _condition_faults(key, values, metric, points, earlier)]
    return faults


def _band_faults(question: QuestionTerms, metric: str, points: int) -> list[str]:
    if not question.by_band or (metric, points) not in SCALES:
        return []
    if question.key == SCORE_KEY:
        return [_("“%(key)s” is asked before its band is known.") % {"key": SCORE_KEY}]
    bands = [band for band, _lowest in scale_for(metric, points).bands]
    return [
        _("“%(band)s” is not a band of this scale; it has %(bands)s.") % {"band": band, "bands": ", ".join(bands)}
        for band in question.by_band
        if band not in bands
    ]


def _display_faults(question: QuestionTerms, metric: str, points: int) -> list[str]:
    if question.display not in Display.values:
        return [
            _("“%(display)s” is not a way to draw a scale; there are %(displays)s.")
            % {"display": question.display, "displays": ", ".join(Display.values)}
        ]
    if question.display == Display.NUMBERS:
        return []
    if question.kind != Kind.SCALE:
        return [_("Only a scale is drawn as stars or faces.")]
    own = (question.metric or metric, question.points or points)
    if own in SCALES and scale_for(*own).points > MOST_PICTURES:
        return [_("A scale of %(points)d points is drawn as numbers.") % {"points": scale_for(*own).points}]
    return []


def _condition_faults(
    key: str, values: Sequence[int | str], metric: str, points: int, earlier: Mapping[str, QuestionTerms]
) -> list[str]:
    asked = earlier.get(key)
    if asked is None:
        return [_("“%(key)s” is not an earlier question.") % {"key": key}]
    if not values:
        return [_("No value of “%(key)s” is listed, so the question would never be shown.") % {"key": key}]
    if asked.kind == Kind.SCALE and (asked.metric or metric, asked.points or points) in SCALES:
        scale = scale_for(asked.metric or metric, asked.points or points)
        return [
            _("%(value)s is not on the scale %(low)d–%(high)d of “%(key)s”.")
            % {"value": repr(value), "low": scale.low, "high": scale.high, "key": key}
            for value in values
            if not scale.contains(value)
        ]
    if asked.kind in (Kind.CHOICE, Kind.CHOICES):
        return [
            _("%(value)s is not an option of “%(key)s”.") % {"value": repr(value), "key": key}
            for value in values
            if value not in asked.options
        ]
    if asked.kind in (Kind.YES_NO, Kind.CONTACT):
        return [
            _("%(value)s is not “yes” or “no”, as “%(key)s” is answered.") % {"value": repr(value), "key": key}
            for value in values
            if value not in (YES, NO)
        ]
    return (
        [_("“%(key)s” is an open text; only scales and choices can be tested.") % {"key": key}]
        if asked.kind == Kind.VERBATIM
        else []
    )


def publish_version(instrument: Instrument, questions: Sequence[QuestionTerms]) -> InstrumentVersion:
    """The version that asks exactly `questions`: the current one where it already does, else a new or a replaced one.

    InstrumentError where they cannot be asked, or where an answered question would change its kind, metric or scale.
    """
    faults = find_faults(instrument.metric, instrument.points, questions)
    if faults:
        raise InstrumentError(faults)
    with transaction.atomic():
        # Two edits at once wait for each other. An answer that is being recorded holds its version's key: we wait for it too.
        Instrument.objects.select_for_update(no_key=True).get(pk=instrument.pk)
        current = instrument.versions.select_for_update().order_by("-number").first()
        if current is not None and same_terms(terms_of_version(current), [_complete(instrument, q) for q in questions]):
            return current
        rows = _questions(instrument, questions)
        if current is None or current.answered:
            number = current.number + 1 if current else 1
            current = InstrumentVersion.objects.create(instrument=instrument, number=number)
        else:
            current.wordings.all().delete()
        Wording.objects.bulk_create(
            [_wording(current, rows[terms.key], position, terms) for position, terms in enumerate(questions)]
        )
        # What no version asks any more and nobody ever answered was only a draft.
        Question.objects.filter(instrument=instrument, wordings__isnull=True, answers__isnull=True).delete()
        return current


def _wording(version: InstrumentVersion, question: Question, position: int, terms: QuestionTerms) -> Wording:
    return Wording(
        version=version,
        question=question,
        position=position,
        text=dict(terms.text),
        low_label=dict(terms.low),
        high_label=dict(terms.high),
        required=terms.required,
        show_if={key: list(values) for key, values in terms.show_if.items()},
        options={key: dict(texts) for key, texts in terms.options.items()},
        by_band={band: dict(texts) for band, texts in terms.by_band.items()},
        display=terms.display,
    )


def _questions(instrument: Instrument, questions: Sequence[QuestionTerms]) -> dict[str, Question]:
    """The rows of `questions` by key; made where missing, brought in line where nobody answered them yet."""
    rows = {question.key: question for question in instrument.questions.all()}
    faults: list[Fault] = []
    for index, terms in enumerate(questions):
        fixed = _fixed(instrument, terms)
        row = rows.get(terms.key)
        if row is None:
            rows[terms.key] = Question.objects.create(instrument=instrument, key=terms.key, **fixed)
            continue
        changed = [name for name, value in fixed.items() if getattr(row, name) != value]
        if not changed:
            continue
        if row.answers.exists():
            name = "scale" if changed[0] == "points" else changed[0]
            faults.append(
                Fault(
                    index,
                    name,
                    _(
                        "“%(key)s” has answers, so its %(name)s cannot change from %(held)s to %(wanted)s."
                        " Use another key, or a new instrument."
                    )
                    % {
                        "key": terms.key,
                        "name": name,
                        "held": getattr(row, changed[0]),
                        "wanted": fixed[changed[0]],
                    },
                )
            )
            continue
        Question.objects.filter(pk=row.pk).update(**fixed)
    if faults:
        raise InstrumentError(faults)
    return rows


def _fixed(instrument: Instrument, terms: QuestionTerms) -> dict[str, Any]:
    """What never changes once a question has been answered."""
    if terms.kind != Kind.SCALE:
        return {"kind": terms.kind, "metric": "", "points": 0}
    return {
        "kind": terms.kind,
        "metric": terms.metric or instrument.metric,
        "points": terms.points or instrument.points,
    }


def terms_of_version(version: InstrumentVersion) -> list[QuestionTerms]:
    """What a version asks, in order; metric and points are always named."""
    rows = version.wordings.select_related("question").order_by("position")
    return [
        QuestionTerms(
            key=row.question.key,
            kind=row.question.kind,
            text=row.text,
            low=row.low_label,
            high=row.high_label,
            required=row.required,
            show_if=row.show_if,
            options=row.options,
            metric=row.question.metric,
            points=row.question.points,
            by_band=row.by_band,
            display=row.display,
        )
        for row in rows
    ]


def _complete(instrument: Instrument, terms: QuestionTerms) -> QuestionTerms:
    fixed = _fixed(instrument, terms)
    return replace(terms, metric=fixed["metric"], points=fixed["points"])


def same_terms(stored: Sequence[QuestionTerms], wanted: Sequence[QuestionTerms]) -> bool:
    """Equal, the order of options included: it is what customers see."""
    return list(stored) == list(wanted) and all(
        list(a.options) == list(b.options) for a, b in zip(stored, wanted, strict=True)
    )
