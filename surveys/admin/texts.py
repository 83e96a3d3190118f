"""Texts in several languages as form fields: one input for each language of the organisation, the default one first.

In: a map of language to text. Out: the same, without empty ones. Languages that the organisation does not use are carried along
unseen, so that saving a form never loses them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from unfold.widgets import INPUT_CLASSES, TEXTAREA_CLASSES

from surveys.flow.programme.document import TAG, UNSTORABLE
from surveys.models import Organisation
from surveys.texts import normalise_tag

MAX_LANGUAGES = 100
OPEN_LANGUAGES = 4  # of more, those beyond are folded away: twenty-six inputs for each text are no form


def languages_of(request: HttpRequest) -> list[str]:
    """The organisation's languages, read once per request."""
    found: list[str] | None = getattr(request, "_cx_languages", None)
    if found is None:
        found = list(Organisation.current().languages) or ["en"]
        request._cx_languages = found  # type: ignore[attr-defined]
    return found


def language_name(tag: str) -> str:
    """In that language itself, such as "Deutsch"; the tag where nobody here knows it."""
    try:
        return str(get_language_info(tag)["name_local"]).capitalize()
    except KeyError:
        base = tag.split("-", maxsplit=1)[0]
        try:
            return f"{str(get_language_info(base)['name_local']).capitalize()} ({tag})"
        except KeyError:
            return tag


class TextsWidget(forms.Widget):
    """One input for each language. `lines` above 1 makes them text areas. `standard`: what stands there where nothing is typed."""

    template_name = "staff/widgets/texts.html"

    def __init__(
        self, languages: Sequence[str], longest: int, lines: int = 1, standard: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.languages, self.longest, self.lines = list(languages), longest, lines
        self.standard: Mapping[str, str] = standard or {}
        self.shows_standard = True

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        try:
            rest = json.loads(data.get(f"{name}__rest") or "{}")
        except ValueError:
            rest = {}
        if isinstance(rest, Mapping):
            found.update(list(rest.items())[:MAX_LANGUAGES])
        for language in self.languages:
            text = data.get(f"{name}__{language}", "").replace("\r\n", "\n").strip()
            # A text that serves this language under another tag, such as zh for zh-hans, is replaced, not doubled.
            found = {tag: held for tag, held in found.items() if normalise_tag(tag) != language}
            if text:
                found[language] = text
        return found

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return all(f"{name}__{language}" not in data for language in self.languages)

    def id_for_label(self, id_: str) -> str:
        return f"{id_}__{self.languages[0]}" if id_ else id_

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        texts: Mapping[str, str] = value if isinstance(value, Mapping) else {}
        texts = {normalise_tag(str(tag)): text for tag, text in texts.items()}
        base = context["widget"]["attrs"].get("id", f"id_{name}")
        inputs = [
            {
                "name": f"{name}__{language}",
                "id": f"{base}__{language}",
                "language": language,
                "label": language_name(language),
                "text": texts.get(language, ""),
                "standard": self.standard.get(language, ""),
            }
            for language in self.languages
        ]
        open_ones = OPEN_LANGUAGES if len(inputs) > OPEN_LANGUAGES + 1 else len(inputs)
        folded = inputs[open_ones:]
        context["widget"] |= {
            "inputs": inputs[:open_ones],
            "folded": folded,
            "empty": sum(not one["text"] for one in folded),
            "shows_standard": self.shows_standard,
            "rest": json.dumps(
                {tag: text for tag, text in texts.items() if tag not in self.languages}, ensure_ascii=False
            ),
            "rest_name": f"{name}__rest",
            "is_single": len(self.languages) == 1,
            "lines": self.lines,
            "longest": self.longest,
            "described_by": context["widget"]["attrs"].get("aria-describedby", ""),
            "classes": " ".join(TEXTAREA_CLASSES if self.lines > 1 else INPUT_CLASSES),
        }
        return context


class TextsField(forms.Field):
    """A map of language to text. Required: at least one text, in whichever language."""

    widget: TextsWidget

    def __init__(
        self, *, languages: Sequence[str], longest: int, lines: int = 1, standard: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        self.longest = longest
        super().__init__(widget=TextsWidget(languages, longest, lines, standard), **options)

    def clean(self, value: Any) -> dict[str, str]:
        texts = self.to_python(value)
        if self.required and not texts:
            raise ValidationError(_("A text is needed, in one language at least."), code="required")
        return texts

    def to_python(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for tag, text in (value or {}).items():
            if not isinstance(text, str) or not TAG.match(str(tag)):
                raise ValidationError(_("“%(tag)s” is not a language such as en or zh-hans."), params={"tag": tag})
            if UNSTORABLE.search(text):
                raise ValidationError(_("This contains a character that cannot be stored."))
            if len(text) > self.longest:
                raise ValidationError(
                    _("%(language)s: %(count)d characters; at most %(longest)d fit."),
                    params={"language": language_name(tag), "count": len(text), "longest": self.longest},
                )
            if text:
                found[str(tag)] = text
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        held = {normalise_tag(tag): text for tag, text in (initial or {}).items() if text}
        return held != {normalise_tag(str(tag)): text for tag, text in (data or {}).items() if text}


class KeyedTextsWidget(forms.Widget):
    """Texts under each of a few keys, such as one for each band. `keys`: a key to its label."""

    template_name = "staff/widgets/keyed_texts.html"

    def __init__(self, keys: Mapping[str, Any], languages: Sequence[str], longest: int, lines: int = 1) -> None:
        super().__init__()
        self.keys, self.texts = dict(keys), TextsWidget(languages, longest, lines)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, dict[str, Any]]:
        return {key: self.texts.value_from_datadict(data, files, f"{name}__{key}") for key in self.keys}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return all(self.texts.value_omitted_from_data(data, files, f"{name}__{key}") for key in self.keys)

    def id_for_label(self, id_: str) -> str:
        return self.texts.id_for_label(f"{id_}__{next(iter(self.keys), '')}") if id_ else id_

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        base = context["widget"]["attrs"].get("id", f"id_{name}")
        context["widget"]["parts"] = [
            (label, self.texts.render(f"{name}__{key}", held.get(key), {"id": f"{base}__{key}"}))
            for key, label in self.keys.items()
        ]
        return context


class KeyedTextsField(forms.Field):
    """{"detractors": {"en": "What went wrong?"}}: what is empty is left out."""

    def __init__(
        self, keys: Mapping[str, Any], *, languages: Sequence[str], longest: int, lines: int = 1, **options: Any
    ) -> None:
        self.texts = TextsField(languages=languages, longest=longest, lines=lines, required=False)
        super().__init__(widget=KeyedTextsWidget(keys, languages, longest, lines), required=False, **options)

    def clean(self, value: Any) -> dict[str, dict[str, str]]:
        cleaned = {key: self.texts.clean(texts) for key, texts in (value or {}).items()}
        return {key: texts for key, texts in cleaned.items() if texts}

    def has_changed(self, initial: Any, data: Any) -> bool:
        held: Mapping[str, Any] = initial or {}
        return any(self.texts.has_changed(held.get(key), texts) for key, texts in (data or {}).items())
