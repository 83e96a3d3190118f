"""The questions of an instrument as forms: one card each, in the order of their numbers.

In: QuestionTerms, or what a manager posted. Out: forms, or QuestionTerms again. What can be asked is decided in flow/instruments.py;
here is only how it is typed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from surveys.admin.fields import EMPTY_ROWS, SHORT, _listed
from surveys.admin.texts import KeyedTextsField, TextsField, TextsWidget
from surveys.flow.builtins import standard_labels
from surveys.flow.instruments import MOST_PICTURES, SCORE_KEY, QuestionTerms
from surveys.flow.programme.values import LABEL, SENTENCE
from surveys.models import Instrument, InstrumentVersion, Organisation
from surveys.models.instruments import Display, Kind, Metric
from surveys.phrases import LANGUAGES, Phrases
from surveys.scales import SCALES, scale_for
from surveys.texts import match_language
from surveys.words import band_word

MAX_QUESTIONS = 30
MAX_ROWS = 50  # of options or conditions in one question


def seen_of(version: InstrumentVersion | None) -> str:
    """What a page was made from, so that a later change of somebody else's is noticed."""
    if version is None:
        return ""
    newest = version.wordings.order_by("-pk").values_list("pk", flat=True).first()
    return f"{version.pk}-{newest}"


# --- Conditions -------------------------------------------------------------------------------------------------------


class ConditionsWidget(forms.Widget):
    """Rows of (key of an earlier question, values)."""

    template_name = "staff/widgets/conditions.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        keys, values = _listed(data, f"{name}__key"), _listed(data, f"{name}__values")
        rows = [(key.strip(), text.strip()) for key, text in zip(keys, values, strict=False)]
        return [row for row in rows if any(row)][:MAX_ROWS]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__key" not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        rows = list(value.items()) if isinstance(value, Mapping) else list(value or [])
        shown = [(key, values if isinstance(values, str) else write_values(values)) for key, values in rows]
        context["widget"] |= {"rows": [*shown, ("", "")], "classes": " ".join(INPUT_CLASSES)}
        return context


def write_values(values: Sequence[int | str]) -> str:
    """0–6, 9 for whole numbers in a row, else the values with commas.

    >>> write_values([0, 1, 2, 3, 9]), write_values(["late", "damaged"])
    ('0–3, 9', 'late, damaged')
    """
    parts: list[list[int | str]] = []
    for value in values:
        last = parts[-1][-1] if parts else None
        if isinstance(value, int) and isinstance(last, int) and value == last + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    written = []
    for part in parts:
        written += [f"{part[0]}–{part[-1]}"] if len(part) > 2 else [str(value) for value in part]
    return ", ".join(written)


def read_values(text: str) -> list[int | str]:
    """The other way round. A number is a score, anything else the key of an option.

    >>> read_values("0-3, 9"), read_values("late、damaged")
    ([0, 1, 2, 3, 9], ['late', 'damaged'])
    """
    values: list[int | str] = []
    joined = re.sub(r"\s*[-–—~～]\s*", "-", text.strip())
    for part in re.split(r"[,，、;；\s]+", joined):
        found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", part)
        if found:
            values += range(int(found[1]), int(found[2]) + 1)
        elif part:
            values.append(int(part) if re.fullmatch(r"[0-9]{1,4}", part) else part)
    return list(dict.fromkeys(values))


class ConditionsField(forms.Field):
    """{"score": [0, 1, 2]}: shown when every named earlier question has one of these values."""

    widget = ConditionsWidget

    def clean(self, value: Any) -> dict[str, list[int | str]]:
        found: dict[str, list[int | str]] = {}
        for key, text in value or []:
            if not key:
                raise ValidationError(_("Name the earlier question that these values belong to."))
            if key in found:
                raise ValidationError(_("“%(key)s” stands twice; put its values in one line."), params={"key": key})
            found[key] = read_values(text)
        return found


# --- Options ----------------------------------------------------------------------------------------------------------


class OptionsWidget(forms.Widget):
    """Rows of (key, one text for each language), in order. The key of an option that is there cannot be edited."""

    template_name = "staff/widgets/options.html"

    def __init__(self, languages: Sequence[str]) -> None:
        super().__init__()
        self.languages = list(languages)
        self.fixed: frozenset[str] = frozenset()

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, Any]]:
        rows = []
        for index in range(MAX_ROWS):
            at = f"{name}__{index}"
            if f"{at}__key" not in data:
                break
            texts = TextsWidget(self.languages, LABEL).value_from_datadict(data, None, f"{at}__text")
            place = data.get(f"{at}__place", "").strip()
            rows.append(
                {
                    "key": data.get(f"{at}__key", "").strip(),
                    "texts": texts,
                    "place": int(place) if place.isdecimal() and len(place) < 5 else index + 1,
                }
            )
        return [row for row in rows if row["key"] or row["texts"]]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__0__key" not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        if isinstance(value, Mapping):
            rows = [{"key": key, "texts": texts} for key, texts in value.items()]
        else:
            rows = list(value or [])
        rows = [*rows, *({"key": "", "texts": {}} for _empty in range(EMPTY_ROWS))]
        context["widget"] |= {
            "rows": [
                {
                    "name": f"{name}__{index}",
                    "place": index + 1,
                    "key": row["key"],
                    "fixed": row["key"] in self.fixed,
                    "texts": TextsWidget(self.languages, LABEL).render(f"{name}__{index}__text", row["texts"]),
                }
                for index, row in enumerate(rows)
            ],
            "classes": " ".join(INPUT_CLASSES),
        }
        return context


class OptionsField(forms.Field):
    """{"late": {"en": "Late"}}, in order. A new option without a key gets one from its text; an empty row is none."""

    widget: OptionsWidget

    def __init__(self, languages: Sequence[str], **options: Any) -> None:
        self.texts = TextsField(languages=languages, longest=LABEL, required=False)
        super().__init__(widget=OptionsWidget(languages), **options)

    def clean(self, value: Any) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        rows = sorted(value or [], key=lambda row: row["place"])
        taken = {row["key"] for row in rows}
        for row in rows:
            texts = self.texts.clean(row["texts"])
            if not texts:
                continue  # emptied: taken away
            key = row["key"] or _key_of(texts, taken)
            taken.add(key)
            if key in found:
                raise ValidationError(_("The option “%(key)s” stands twice."), params={"key": key})
            found[key] = texts
        return found


def _key_of(texts: Mapping[str, str], taken: set[str]) -> str:
    """A key that is free, from the English text where there is one."""
    words = re.sub(r"[^a-z0-9]+", "_", texts.get("en", "").lower()).strip("_")[:30]
    base = words if words[:1].isalpha() else f"option_{words}".rstrip("_")
    numbers = (f"{base}_{number}" for number in range(2, MAX_ROWS * 3))
    return next(key for key in (base, *numbers) if key not in taken)


# --- A question -------------------------------------------------------------------------------------------------------


def _scales(instrument: Instrument) -> list[tuple[str, str]]:
    own = SCALES[instrument.metric, instrument.points]
    named = [("", f"{Metric(own.metric).label}, {own.low}–{own.high}")]
    others = [scale for scale in SCALES.values() if scale != own]
    return named + [
        (f"{one.metric}:{one.points}", f"{Metric(one.metric).label}, {one.low}–{one.high}") for one in others
    ]


def bands_shown(instrument: Instrument) -> dict[str, str]:
    """The bands of an instrument's scale as managers know them: "Detractor (0–6)"."""
    scale = scale_for(instrument.metric, instrument.points)
    shown = {}
    for band, _lowest in scale.bands:
        scores = scale.scores_of(band)
        span = str(scores[0]) if len(scores) == 1 else f"{scores[0]}–{scores[-1]}"
        word = band_word(instrument.metric, instrument.points, scores[0])
        shown[band] = _("%(band)s (%(scores)s)") % {"band": word, "scores": span}
    return shown


def standard_contact(languages: Sequence[str]) -> dict[str, str]:
    """What a contact permission without words of its own asks in each of these languages."""
    own = Organisation.current().phrases
    found = {}
    for language in languages:
        spoken = match_language(language, LANGUAGES) or "en"
        with translation.override(spoken):
            found[language] = Phrases(own.get(spoken))["contact"]
    return found


class QuestionForm(forms.Form):
    """Errors of the flow come back by the names of QuestionTerms, so the fields have them."""

    place = forms.IntegerField(
        label=gettext_lazy("Place"), min_value=1, max_value=999, required=False,
        widget=UnfoldAdminIntegerFieldWidget({"class": "cx-tiny"}),
    )  # fmt: skip
    key = forms.CharField(
        label=gettext_lazy("Key"), max_length=40, required=False,
        help_text=gettext_lazy("Lower-case letters, digits and _. Answers are kept under it; it never changes."),
        widget=UnfoldAdminTextInputWidget({"class": SHORT, "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"), choices=Kind.choices, widget=UnfoldAdminSelectWidget({"data-kind": ""})
    )
    required = forms.BooleanField(label=gettext_lazy("Required"), required=False, widget=UnfoldBooleanWidget())

    def __init__(
        self, *args: Any, instrument: Instrument, languages: Sequence[str], answered: Mapping[str, bool],
        standard: Mapping[str, str], **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **kwargs)
        initial: Mapping[str, Any] = self.initial
        texts: dict[str, Any] = {"languages": languages, "required": False}
        self.fields["text"] = TextsField(label=_("Text"), longest=SENTENCE, lines=2, standard=standard, **texts)
        self.fields["scale"] = forms.ChoiceField(
            label=_("Scale"), required=False, choices=_scales(instrument),
            widget=UnfoldAdminSelectWidget({"data-points": instrument.points}),
        )  # fmt: skip
        self.fields["display"] = forms.ChoiceField(
            label=_("Drawn as"), required=False, choices=Display.choices, initial=Display.NUMBERS,
            widget=UnfoldAdminSelectWidget(),
            help_text=_("Stars and faces for up to %(count)d points.") % {"count": MOST_PICTURES},
        )  # fmt: skip
        self.fields["by_band"] = KeyedTextsField(
            bands_shown(instrument), label=_("Text by band"), languages=languages, longest=SENTENCE,
            help_text=_(
                "Asked in place of the text above once the score is known, such as “What went wrong?”. Empty: the text above."
            ),
        )  # fmt: skip
        self.fields["low"] = TextsField(label=_("Label at the low end"), longest=LABEL, **texts)
        self.fields["high"] = TextsField(label=_("Label at the high end"), longest=LABEL, **texts)
        self.fields["options"] = OptionsField(
            languages, label=_("Options"), required=False,
            help_text=_("Empty all texts of an option to take it away. Without a key it gets one from its text."),
        )  # fmt: skip
        self.fields["show_if"] = ConditionsField(
            label=_("Shown if"), required=False,
            help_text=_("Scores as 0–6 or 1, 2; options by their keys; yes or no. Nothing: always shown."),
        )  # fmt: skip
        key = initial.get("key", "")
        self.is_there = bool(key)
        self.is_score = key == SCORE_KEY
        options: Any = self.fields["options"].widget
        options.fixed = frozenset(initial.get("options", {}))
        if self.is_there:
            self.fields["key"].disabled = True
            self.fields["key"].help_text = ""
        if self.is_score or answered.get(key):
            self.fields["kind"].disabled = self.fields["scale"].disabled = True
        if self.is_score:
            del self.fields["by_band"]  # it is asked before its band is known
            if instrument.points > MOST_PICTURES:
                del self.fields["display"]
        text: Any = self.fields["text"].widget
        text.shows_standard = self["kind"].value() == Kind.CONTACT

    def clean(self) -> dict[str, Any]:
        """A contact permission needs neither words of its own nor a key that somebody thinks up."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not cleaned.get("key") and "key" not in self.errors:
            if cleaned.get("kind") == Kind.CONTACT:
                cleaned["key"] = Kind.CONTACT.value
            else:
                self.add_error("key", ValidationError(_("This field is required."), code="required"))
        return cleaned

    @property
    def is_empty(self) -> bool:
        """A card that nobody filled in."""
        values = self.cleaned_data
        return not self.is_there and not values.get("key") and not values.get("text")

    def has_changed(self) -> bool:
        """A card that was only offered is none, although its kind has a value; only a contact permission is said by its kind."""
        if self.is_there:
            return super().has_changed()
        asks_to_contact = self["kind"].data == Kind.CONTACT
        return asks_to_contact or any(self[name].data for name in ("key", "text", "options", "show_if"))


class QuestionFormSet(forms.BaseFormSet):  # type: ignore[type-arg]
    forms: list[QuestionForm]
    empty_form: QuestionForm


def form_set_of(
    instrument: Instrument, held: Sequence[QuestionTerms], languages: Sequence[str], data: Any = None
) -> QuestionFormSet:
    """Forms of `held`, and an empty one to add."""
    rows = {question.key: question.answers.exists() for question in instrument.questions.all()}
    made = forms.formset_factory(
        QuestionForm,
        formset=QuestionFormSet,
        extra=1,
        can_delete=True,
        max_num=MAX_QUESTIONS,
        absolute_max=MAX_QUESTIONS + 5,
        validate_max=True,
    )
    standard = standard_contact(languages)
    options = {"instrument": instrument, "languages": languages, "answered": rows, "standard": standard}
    initial = [_initial(instrument, terms, place) for place, terms in enumerate(held, start=1)]
    form_set: Any = made(data, initial=initial, form_kwargs=options, prefix="q")
    for form in [*form_set.forms, form_set.empty_form]:
        if "DELETE" in form.fields:
            form.fields["DELETE"].widget = UnfoldBooleanWidget()
            form.fields["DELETE"].label = _("Ask it no more")
    return cast(QuestionFormSet, form_set)


def _initial(instrument: Instrument, terms: QuestionTerms, place: int) -> dict[str, Any]:
    own = (terms.metric, terms.points) in (("", 0), (instrument.metric, instrument.points))
    return {
        "place": place,
        "key": terms.key,
        "kind": terms.kind,
        "required": terms.required,
        "text": terms.text,
        "scale": "" if own else f"{terms.metric}:{terms.points}",
        "low": terms.low,
        "high": terms.high,
        "options": terms.options,
        "show_if": terms.show_if,
        "display": terms.display,
        "by_band": terms.by_band,
    }


def terms_in(form_set: QuestionFormSet) -> list[tuple[QuestionTerms, QuestionForm]]:
    """The questions of a valid form set in their order, each with its form."""
    kept = [form for form in form_set.forms if not form.cleaned_data.get("DELETE") and not form.is_empty]
    kept.sort(key=lambda form: form.cleaned_data.get("place") or MAX_QUESTIONS)
    return [(_terms(form.cleaned_data), form) for form in kept]


def _terms(values: Mapping[str, Any]) -> QuestionTerms:
    """What does not belong to the kind is left out: a form without scripts shows it all the same."""
    kind = values["kind"]
    is_scale, has_options = kind == Kind.SCALE, kind in (Kind.CHOICE, Kind.CHOICES)
    metric, _colon, points = values["scale"].partition(":") if is_scale else ("", "", "")
    low, high = (values["low"], values["high"]) if is_scale else ({}, {})
    if metric and not low and not high:
        low, high = standard_labels(metric, int(points))
    return QuestionTerms(
        key=values["key"],
        kind=kind,
        text=values["text"],
        low=low,
        high=high,
        required=values["required"],
        show_if=values["show_if"],
        options=values["options"] if has_options else {},
        metric=metric,
        points=int(points or 0),
        by_band=values.get("by_band") or {},
        display=(values.get("display") or Display.NUMBERS) if is_scale else Display.NUMBERS,
    )
