"""A rule's own texts of its letters, as managers type them. In: what was typed. Out: InvitationRule.letter.

Where nothing is typed the phrases speak; each input shows what they say, in its language.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys.admin.texts import TextsField, language_name
from surveys.flow.compose import speaking, words_of
from surveys.letters import LETTER_PLACES, LETTER_TEXTS, is_one_line, longest_of, strange_letter_places
from surveys.models import Organisation

LETTER_LABELS: Mapping[str, Any] = {
    "subject": gettext_lazy("Subject"),
    "opening": gettext_lazy("Before the question"),
    "closing": gettext_lazy("After the scale"),
    "reminder_subject": gettext_lazy("Subject of a reminder"),
    "reminder_opening": gettext_lazy("Before the question, in a reminder"),
    "reminder_closing": gettext_lazy("After the scale, in a reminder"),
}


def standard_words(organisation: Organisation, languages: Sequence[str]) -> dict[str, dict[str, str]]:
    """What letters say by themselves, by key and language, with their places."""
    found: dict[str, dict[str, str]] = {key: {} for key in LETTER_TEXTS}
    for language in languages:
        with speaking(organisation, language) as say:
            for key, text in words_of({}, say, language).items():
                found[key][language] = text
    return found


class LetterWidget(forms.Widget):
    """Six texts in each language; those of a reminder are folded while they are empty."""

    template_name = "staff/widgets/letter.html"

    def __init__(self, fields: Mapping[str, TextsField]) -> None:
        super().__init__()
        self.fields = fields

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, dict[str, Any]]:
        return {
            key: field.widget.value_from_datadict(data, files, f"{name}__{key}") for key, field in self.fields.items()
        }

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return all(
            field.widget.value_omitted_from_data(data, files, f"{name}__{key}") for key, field in self.fields.items()
        )

    def id_for_label(self, id_: str) -> str:
        first = next(iter(self.fields))
        return self.fields[first].widget.id_for_label(f"{id_}__{first}") if id_ else id_

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        base = context["widget"]["attrs"].get("id", f"id_{name}")
        parts = {
            key: (LETTER_LABELS[key], field.widget.render(f"{name}__{key}", held.get(key), {"id": f"{base}__{key}"}))
            for key, field in self.fields.items()
        }
        of_reminder = [key for key in parts if key.startswith("reminder_")]
        context["widget"] |= {
            "parts": [part for key, part in parts.items() if key not in of_reminder],
            "reminder_parts": [parts[key] for key in of_reminder],
            "has_reminder": any(held.get(key) for key in of_reminder),
        }
        return context


class LetterField(forms.Field):
    """{"subject": {"en": "How was your tea, {name}?"}}; what is empty, or says what is said anyhow, is left out."""

    widget: LetterWidget

    def __init__(self, organisation: Organisation, languages: Sequence[str], **options: Any) -> None:
        self.standard = standard_words(organisation, languages)
        self.texts = {
            key: TextsField(
                languages=languages, longest=longest_of(key), lines=1 if is_one_line(key) else 2,
                standard=self.standard[key], required=False,
            )
            for key in LETTER_TEXTS
        }  # fmt: skip
        super().__init__(widget=LetterWidget(self.texts), **{**options, "required": False})

    def clean(self, value: Any) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        wrong: list[str] = []
        for key, given in (value or {}).items():
            try:
                texts = self._texts(key, given)
            except ValidationError as error:
                wrong += [_("%(text)s: %(fault)s") % {"text": LETTER_LABELS[key], "fault": e} for e in error.messages]
                continue
            if texts:
                found[key] = texts
        if wrong:
            raise ValidationError(wrong)
        return found

    def _texts(self, key: str, given: Any) -> dict[str, str]:
        texts = self.texts[key].clean(given)
        for language, text in texts.items():
            strange = strange_letter_places(text)
            if strange:
                raise ValidationError(
                    _("%(language)s: {%(place)s} is filled in by nothing. There are %(places)s."),
                    params={
                        "language": language_name(language),
                        "place": strange[0],
                        "places": ", ".join(f"{{{place}}}" for place in LETTER_PLACES),
                    },
                )
        if is_one_line(key):
            texts = {language: " ".join(text.split()) for language, text in texts.items()}
        if key in ("reminder_subject", "reminder_closing"):
            return texts  # without one, what the letter itself says is said again
        return {tag: text for tag, text in texts.items() if text != self.standard[key].get(tag)}

    def has_changed(self, initial: Any, data: Any) -> bool:
        held: Mapping[str, Any] = initial or {}
        return any(self.texts[key].has_changed(held.get(key), texts) for key, texts in (data or {}).items())
