"""The page after an answer, as managers write it: a block for each band, and the share link. In: what was typed. Out: the columns.

What may stand there is decided in flow/thanks.py; here is only how it is typed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from unfold.widgets import INPUT_CLASSES

from surveys.admin.texts import TextsField, TextsWidget
from surveys.flow.programme.values import LABEL, LINKS, SENTENCE
from surveys.flow.thanks import LONGEST_URL, link_faults

PLACEHOLDER = "https://"


class LinkWidget(forms.Widget):
    """An address, and its label in each language."""

    template_name = "staff/widgets/link.html"

    def __init__(self, languages: Sequence[str]) -> None:
        super().__init__()
        self.label = TextsWidget(languages, LABEL)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        return {
            "label": self.label.value_from_datadict(data, files, f"{name}__label"),
            "url": data.get(f"{name}__url", "").strip(),
        }

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__url" not in data

    def id_for_label(self, id_: str) -> str:
        return f"{id_}__url" if id_ else id_

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        base = context["widget"]["attrs"].get("id", f"id_{name}")
        context["widget"] |= {
            "url": held.get("url", ""),
            "url_id": f"{base}__url",
            "longest": LONGEST_URL,
            "placeholder": PLACEHOLDER,
            "label": self.label.render(f"{name}__label", held.get("label"), {"id": f"{base}__label"}),
            "classes": " ".join(INPUT_CLASSES),
        }
        return context


class LinkField(forms.Field):
    """{"label": {…}, "url": "https://…"}; {} where neither is typed."""

    def __init__(self, *, languages: Sequence[str], **options: Any) -> None:
        self.texts = TextsField(languages=languages, longest=LABEL, required=False)
        super().__init__(widget=LinkWidget(languages), **options)

    def clean(self, value: Any) -> dict[str, Any]:
        given: Mapping[str, Any] = value or {}
        link = {"label": self.texts.clean(given.get("label")), "url": given.get("url", "")}
        faults = link_faults(link)
        if faults:
            raise ValidationError(faults)
        return link if link["url"] else {}

    def has_changed(self, initial: Any, data: Any) -> bool:
        held, given = initial or {}, data or {}
        same_url = held.get("url", "") == given.get("url", "")
        return not same_url or self.texts.has_changed(held.get("label"), given.get("label"))


class ThanksWidget(forms.Widget):
    """For each band a title, a text and up to LINKS links. `bands`: a key to its label."""

    template_name = "staff/widgets/thanks.html"

    def __init__(self, bands: Mapping[str, Any], languages: Sequence[str]) -> None:
        super().__init__()
        self.bands = dict(bands)
        self.title, self.text = TextsWidget(languages, LABEL), TextsWidget(languages, SENTENCE, 3)
        self.link = LinkWidget(languages)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        return {
            band: {
                "title": self.title.value_from_datadict(data, files, f"{name}__{band}__title"),
                "text": self.text.value_from_datadict(data, files, f"{name}__{band}__text"),
                "links": [
                    self.link.value_from_datadict(data, files, f"{name}__{band}__link{number}")
                    for number in range(LINKS)
                ],
            }
            for band in self.bands
        }

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return all(self.title.value_omitted_from_data(data, files, f"{name}__{band}__title") for band in self.bands)

    def id_for_label(self, id_: str) -> str:
        return ""  # a label for many inputs would name one of them

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        context["widget"]["blocks"] = [
            self._block(f"{name}__{band}", label, held.get(band) or {}) for band, label in self.bands.items()
        ]
        return context

    def _block(self, name: str, label: Any, block: Mapping[str, Any]) -> dict[str, Any]:
        links = [*block.get("links", []), *({} for _empty in range(LINKS))][:LINKS]
        return {
            "label": label,
            "is_filled": any(block.get("title", {}).values())
            or any(block.get("text", {}).values())
            or any(map(_is_typed, links)),
            "title": self.title.render(f"{name}__title", block.get("title"), {"id": f"id_{name}__title"}),
            "text": self.text.render(f"{name}__text", block.get("text"), {"id": f"id_{name}__text"}),
            "links": [
                (self.link.render(f"{name}__link{number}", link, {"id": f"id_{name}__link{number}"}), _is_typed(link))
                for number, link in enumerate(links)
            ],
        }


def _is_typed(link: Mapping[str, Any]) -> bool:
    return bool(link.get("url")) or any(link.get("label", {}).values())


class ThanksField(forms.Field):
    """{"detractors": {"title": {…}, "text": {…}, "links": […]}}; a block without anything is left out."""

    widget: ThanksWidget

    def __init__(self, bands: Mapping[str, Any], *, languages: Sequence[str], **options: Any) -> None:
        self.title = TextsField(languages=languages, longest=LABEL, required=False)
        self.text = TextsField(languages=languages, longest=SENTENCE, required=False)
        self.link = LinkField(languages=languages, required=False)
        super().__init__(widget=ThanksWidget(bands, languages), **options)

    def clean(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        wrong: list[str] = []
        for band, given in (value or {}).items():
            try:
                block = self._block(given)
            except ValidationError as error:
                label = self.widget.bands[band]
                wrong += [_("%(band)s: %(fault)s") % {"band": label, "fault": fault} for fault in error.messages]
                continue
            if block:
                found[band] = block
        if wrong:
            raise ValidationError(wrong)
        return found

    def _block(self, given: Mapping[str, Any]) -> dict[str, Any]:
        links = [self.link.clean(link) for link in given.get("links", [])]
        parts = {
            "title": self.title.clean(given.get("title")),
            "text": self.text.clean(given.get("text")),
            "links": [link for link in links if link],
        }
        return parts if any(parts.values()) else {}

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != self._known(initial or {}))
        except ValidationError:
            return True

    def _known(self, held: Mapping[str, Any]) -> dict[str, Any]:
        blocks = {band: {"title": {}, "text": {}, "links": [], **block} for band, block in held.items()}
        return {band: block for band, block in blocks.items() if any(block.values())}
