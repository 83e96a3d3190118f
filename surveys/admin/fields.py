"""Form fields for what the configuration holds besides texts: spans of time, shares, targets, lists in an order, pairs.

In: what a manager typed. Out: the value as the column holds it, by the same rules as the programme file's
(surveys/flow/programme/values.py). Nobody sees JSON, and nobody counts seconds.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminColorInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from surveys.admin.texts import language_name
from surveys.channels import SENDING
from surveys.expressions import ROOTS, ExpressionError, parse
from surveys.flow.incoming import TICKET_EVENTS
from surveys.flow.programme.document import TAG, UNSTORABLE
from surveys.flow.programme.spans import seconds_of, span_of
from surveys.flow.programme.values import (
    COLOUR,
    TARGETS,
    as_number,
    hour_of,
    is_hours,
    is_rising,
    is_segment,
    origin_of,
)
from surveys.models import Channel, Mode
from surveys.models.journeys import WEIGHT_AT_MOST
from surveys.models.keys import SCOPES
from surveys.models.responses import SENT_MODES
from surveys.phrases import LANGUAGES
from surveys.texts import normalise_tag
from surveys.worktime import OWN_DAYS, WEEKDAYS, read_day, read_spans

SHORT = "cx-short"
EMPTY_ROWS = 2  # below the filled ones of a list of pairs; more come when these are saved


class _Read(forms.CharField):
    """A text field whose column holds something else: `shown` writes it, `read` reads it. Compared by value."""

    empty: Any = None

    def shown(self, value: Any) -> str:
        raise NotImplementedError

    def read(self, text: str) -> Any:
        raise NotImplementedError

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else self.shown(value)

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            text = super().to_python(value)
            return self.read(text) if text else self.empty
        return value

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (self.empty if initial in (None, "") else self.to_python(initial)))
        except ValidationError:
            return True

    def run_validators(self, value: Any) -> None:
        """`read` has checked it; a length says nothing about a number."""


# --- Time -------------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> int:
    try:
        return seconds_of(text)
    except ValueError:
        raise ValidationError(
            _("“%(text)s” is not a span of time such as 45s, 30m, 2h, 7d or 2w."), params={"text": text}
        ) from None


class SpanField(_Read):
    """Seconds, written 45s, 30m, 2h, 7d or 2w. `positive`: longer than nothing."""

    def __init__(self, *, positive: bool = False, **options: Any) -> None:
        self.positive = positive
        options.setdefault("widget", UnfoldAdminTextInputWidget({"class": SHORT, "autocomplete": "off"}))
        super().__init__(**options)

    def shown(self, value: Any) -> str:
        return span_of(int(value))

    def read(self, text: str) -> int:
        seconds = _seconds(text)
        if self.positive and not seconds:
            raise ValidationError(_("This must be longer than nothing."))
        return seconds


class SpansField(_Read):
    """A rising list of seconds, written 3d, 7d."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextInputWidget({"class": SHORT, "autocomplete": "off"}))
        super().__init__(**options)

    @property
    def empty(self) -> list[int]:
        return []

    def shown(self, value: Any) -> str:
        return ", ".join(span_of(int(span)) for span in value)

    def read(self, text: str) -> list[int]:
        spans = [_seconds(part) for part in re.split(r"[,，、;；\s]+", text.strip(" ,，、;；")) if part]
        if 0 in spans:
            raise ValidationError(_("This must be longer than nothing."))
        if not is_rising(spans):
            raise ValidationError(_("Reminders stand in the order in which they are sent."))
        return spans


class HourField(_Read):
    """A time of day, written 10:00."""

    def __init__(self, **options: Any) -> None:
        attrs = {"class": SHORT, "autocomplete": "off", "placeholder": "10:00"}
        super().__init__(**{"widget": UnfoldAdminTextInputWidget(attrs), **options})

    def shown(self, value: Any) -> str:
        return f"{value:%H:%M}"

    def read(self, text: str) -> time:
        try:
            return hour_of(text.replace("：", ":"))
        except ValueError:
            raise ValidationError(_("“%(text)s” is not a time of day such as 10:00."), params={"text": text}) from None


class DaysField(forms.MultipleChoiceField):
    """Days of the week; none or all of them are every day."""

    NAMES = (
        gettext_lazy("Monday"),
        gettext_lazy("Tuesday"),
        gettext_lazy("Wednesday"),
        gettext_lazy("Thursday"),
        gettext_lazy("Friday"),
        gettext_lazy("Saturday"),
        gettext_lazy("Sunday"),
    )

    def __init__(self, **options: Any) -> None:
        choices = list(zip(WEEKDAYS, self.NAMES, strict=True))
        super().__init__(choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, **options)

    def clean(self, value: Any) -> list[str]:
        chosen = sorted(super().clean(value), key=WEEKDAYS.index)
        return [] if len(chosen) == len(WEEKDAYS) else chosen


# --- Numbers ----------------------------------------------------------------------------------------------------------


class WholeField(_Read):
    """A whole number of a range; empty where none is asked for."""

    def __init__(self, low: int, high: int, **options: Any) -> None:
        self.low, self.high = low, high
        widget = UnfoldAdminTextInputWidget({"class": SHORT, "inputmode": "numeric", "autocomplete": "off"})
        super().__init__(**{"widget": widget, **options})

    def shown(self, value: Any) -> str:
        return str(value)

    def read(self, text: str) -> int:
        number = _number(text, self.low, self.high)
        if not float(number).is_integer():
            raise ValidationError(_("A whole number is wanted here."))
        return int(number)


class ShareField(_Read):
    """0…1 in the column, percent on the page."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget({"class": SHORT, "inputmode": "decimal"})
        super().__init__(widget=widget, **options)

    def shown(self, value: Any) -> str:
        return f"{round(float(value) * 100, 6):g}"

    def read(self, text: str) -> float:
        number = _number(text.rstrip("%％ "), 0, 100)
        return round(number / 100, 8)


def _number(text: str, low: float, high: float) -> float:
    try:
        number = float(text.replace("−", "-").replace("，", ".").replace(",", "."))
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ValidationError(
            _("A number from %(low)s to %(high)s is wanted here."), params={"low": f"{low:,g}", "high": f"{high:,g}"}
        )
    return number


class Typed(dict[str, Any]):
    """What was typed into the parts of a PartsWidget, by key. Of its own kind, so that no stored value is taken for it."""


class PartsWidget(forms.MultiWidget):
    """Several labelled inputs for one value. `parts`: a key to (label, widget); `take_apart` gives the inputs' values."""

    template_name = "staff/widgets/parts.html"

    def __init__(
        self, parts: Mapping[str, tuple[Any, forms.Widget]], take_apart: Callable[[Any], Mapping[str, Any]]
    ) -> None:
        self.parts, self.take_apart = parts, take_apart
        super().__init__({key: widget for key, (_label, widget) in parts.items()})

    def decompress(self, value: Any) -> list[Any]:
        apart = self.take_apart(value) if value is not None else {}
        return [apart.get(key) for key in self.parts]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return Typed(zip(self.parts, super().value_from_datadict(data, files, name), strict=True))

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        parts = list(value.values()) if isinstance(value, Typed) else self.decompress(value)
        context = super().get_context(name, parts, attrs)
        for (label, _widget), shown in zip(self.parts.values(), context["widget"]["subwidgets"], strict=True):
            shown["label"] = label
        return context

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0" if id_ else id_


class PartsField(forms.Field):
    """What PartsWidget shows; `put_together` makes the value of a mapping of its keys to what was typed."""

    widget: PartsWidget
    nothing: Any = {}

    def __init__(self, widget: PartsWidget, **options: Any) -> None:
        super().__init__(widget=widget, **options)

    def put_together(self, typed: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def clean(self, value: Any) -> Any:
        together = self.put_together(value or {})
        if self.required and not together:
            raise ValidationError(_("This field is required."), code="required")
        return together

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.put_together(data or {}) != (initial or self.nothing))
        except ValidationError:
            return True


def _text_input(**attrs: Any) -> forms.Widget:
    widget: forms.Widget = UnfoldAdminTextInputWidget({"class": SHORT, "autocomplete": "off", **attrs})
    return widget


class TargetsField(PartsField):
    """{"csat": 85}: only metrics that have a target."""

    LABELS: Mapping[str, Any] = {
        "nps": gettext_lazy("NPS at least"),
        "csat": gettext_lazy("CSAT at least, %"),
        "ces": gettext_lazy("CES at least"),
        "ttr_hours": gettext_lazy("Half of the tickets resolved within, hours"),
    }

    def __init__(self, **options: Any) -> None:
        parts = {key: (self.LABELS[key], _text_input(inputmode="decimal")) for key in TARGETS}
        super().__init__(PartsWidget(parts, lambda value: value), **options)

    def put_together(self, typed: Mapping[str, Any]) -> dict[str, int | float]:
        return {
            key: as_number(_number(text, *TARGETS[key]))
            for key, given in typed.items()
            if (text := str(given or "").strip())
        }


class ChannelTargetsWidget(PartsWidget):
    """A table: a row for each channel, a column for each metric."""

    template_name = "staff/widgets/channel_targets.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        cells, heads = context["widget"]["subwidgets"], list(TargetsField.LABELS.values())
        context["widget"] |= {
            "heads": heads,
            "lines": [
                (label, list(zip(heads, cells[place * len(heads) : (place + 1) * len(heads)], strict=True)))
                for place, (_channel, label) in enumerate(Channel.choices)
            ],
        }
        return context


class ChannelTargetsField(PartsField):
    """{"website": {"nps": 40}}: only channels and metrics that have a target."""

    def __init__(self, **options: Any) -> None:
        parts = {
            f"{channel}_{key}": (said, _text_input(inputmode="decimal", **{"aria-label": said}))
            for channel, label in Channel.choices
            for key in TARGETS
            for said in [f"{label}: {TargetsField.LABELS[key]}"]
        }
        super().__init__(ChannelTargetsWidget(parts, self.take_apart), **options)

    @staticmethod
    def take_apart(value: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        return {f"{channel}_{key}": target for channel, held in value.items() for key, target in held.items()}

    def put_together(self, typed: Mapping[str, Any]) -> dict[str, dict[str, int | float]]:
        found: dict[str, dict[str, int | float]] = {}
        for channel in Channel.values:
            for key, limits in TARGETS.items():
                if text := str(typed.get(f"{channel}_{key}") or "").strip():
                    found.setdefault(channel, {})[key] = as_number(_number(text, *limits))
        return found


class QuietHoursField(PartsField):
    """{"sms": "20:00-09:00"}: no messages between, by the customer's clock."""

    def __init__(self, **options: Any) -> None:
        parts = {mode: (Mode(mode).label, _text_input(placeholder="20:00-09:00")) for mode in SENT_MODES}
        super().__init__(PartsWidget(parts, lambda value: value), **options)

    def put_together(self, typed: Mapping[str, Any]) -> dict[str, str]:
        found = {mode: re.sub(r"\s*[-–—~～至到]\s*", "-", str(given).strip()) for mode, given in typed.items() if given}
        found = {mode: text.replace("：", ":") for mode, text in found.items() if text}
        for text in found.values():
            if not is_hours(text):
                raise ValidationError(
                    _("“%(text)s” is not a span of the day such as 20:00-09:00."), params={"text": text}
                )
        return found


class WorkingHoursField(PartsField):
    """{"mon": ["09:00-12:00", "13:00-18:00"]}: when the organisation works, by the clock on its wall."""

    def __init__(self, **options: Any) -> None:
        parts = {
            day: (name, _text_input(placeholder="09:00-12:00, 13:00-18:00"))
            for day, name in zip(WEEKDAYS, DaysField.NAMES, strict=True)
        }
        super().__init__(PartsWidget(parts, self.take_apart), **options)

    @staticmethod
    def take_apart(value: Mapping[str, Any]) -> dict[str, str]:
        return {day: ", ".join(spans) for day, spans in value.items()}

    def put_together(self, typed: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for day, name in zip(WEEKDAYS, DaysField.NAMES, strict=True):
            text = re.sub(r"\s*[-–—~～至到]\s*", "-", str(typed.get(day) or "")).replace("：", ":")
            spans = [re.sub(r"\b(\d):", r"0\1:", part) for part in re.split(r"[,，、;；\s]+", text) if part]
            try:
                read_spans(spans)
            except ValueError:
                said = _(
                    "%(day)s: “%(text)s” are no hours in order such as 09:00-12:00, 13:00-18:00. Hours over midnight are two spans: to "
                    "24:00, and from 00:00 on the next day."
                )
                raise ValidationError(said, params={"day": name, "text": typed.get(day)}) from None
            if spans:
                found[day] = spans
        return found


class OwnDaysField(_Read):
    """Days of the calendar such as 2026-10-01, in order."""

    def __init__(self, **options: Any) -> None:
        attrs = {"rows": 3, "autocomplete": "off", "placeholder": "2026-12-24, 2026-12-31"}
        super().__init__(**{"widget": UnfoldAdminTextareaWidget(attrs), **options})

    @property
    def empty(self) -> list[str]:
        return []

    def shown(self, value: Any) -> str:
        return ", ".join(value)

    def read(self, text: str) -> list[str]:
        days = sorted({part for part in re.split(r"[,，、;；\s]+", text) if part})
        for day in days:
            try:
                read_day(day)
            except ValueError:
                raise ValidationError(_("“%(text)s” is not a day such as 2026-10-01."), params={"text": day}) from None
        if len(days) > OWN_DAYS:
            raise ValidationError(_("At most %(count)d days fit here."), params={"count": OWN_DAYS})
        return days


# --- Choices ----------------------------------------------------------------------------------------------------------


class ModesField(PartsField):
    """Ways to a customer in order of preference: the first with a usable address is taken. None at all where it is not required."""

    nothing = []
    PLACES = (gettext_lazy("First"), gettext_lazy("Without that address"), gettext_lazy("Without that either"))

    def __init__(self, **options: Any) -> None:
        known = mode_choices()
        may_be_empty = options.get("required") is False
        parts = {
            str(place): (
                label,
                UnfoldAdminSelectWidget(choices=[("", "–"), *known] if place or may_be_empty else known),
            )
            for place, label in enumerate(self.PLACES[: len(SENT_MODES)])
        }
        super().__init__(PartsWidget(parts, lambda value: {str(at): mode for at, mode in enumerate(value)}), **options)

    def put_together(self, typed: Mapping[str, Any]) -> list[str]:
        return _modes(typed.values())


def mode_choices() -> list[tuple[str, Any]]:
    """What can be sent, and what could be if it were connected."""
    not_here = _("%(mode)s (not connected here)")
    return [
        (mode, Mode(mode).label if mode in SENDING else not_here % {"mode": Mode(mode).label}) for mode in SENT_MODES
    ]


def _modes(chosen: Iterable[Any]) -> list[str]:
    modes = [str(mode) for mode in chosen if mode]
    if any(mode not in SENT_MODES for mode in modes):
        raise ValidationError(_("This is not one of the choices."))
    if len(set(modes)) < len(modes):
        raise ValidationError(_("A mode stands twice."))
    return modes


class PreferencesWidget(forms.Widget):
    """Rows of (segment, its modes in order)."""

    template_name = "staff/widgets/preferences.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, list[str]]]:
        segments = [segment.strip() for segment in _listed(data, f"{name}__segment")]
        chosen = zip(*(_listed(data, f"{name}__{place}") for place in range(len(SENT_MODES))), strict=False)
        rows = zip(segments, chosen, strict=False)
        return [(segment, list(modes)) for segment, modes in rows if segment or any(modes)]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__segment" not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held = sorted(value.items()) if isinstance(value, Mapping) else list(value or [])
        places = [""] * len(SENT_MODES)
        context["widget"] |= {
            "rows": [
                (segment, [*modes, *places][: len(places)]) for segment, modes in [*held, *[("", [])] * EMPTY_ROWS]
            ],
            "choices": [(mode, Mode(mode).label) for mode in SENT_MODES],
            "classes": " ".join(INPUT_CLASSES),
        }
        return context


class PreferencesField(forms.Field):
    """{"gold": ["sms", "email"]}: by which means a segment is asked first."""

    widget = PreferencesWidget

    def clean(self, value: Any) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for segment, chosen in value or []:
            if not is_segment(segment):
                raise ValidationError(_("A segment has 1 to 100 characters."))
            if segment in found:
                raise ValidationError(_("The segment “%(segment)s” stands twice."), params={"segment": segment})
            modes = _modes(chosen)
            if not modes:
                raise ValidationError(_("Choose by which means “%(segment)s” is asked."), params={"segment": segment})
            found[segment] = modes
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return {segment: [mode for mode in modes if mode] for segment, modes in data or []} != dict(initial or {})


class WeightsWidget(forms.Widget):
    """Rows of (segment, its weight)."""

    template_name = "staff/widgets/weights.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        rows = zip(_listed(data, f"{name}__segment"), _listed(data, f"{name}__weight"), strict=False)
        return [(segment.strip(), weight.strip()) for segment, weight in rows if segment.strip() or weight.strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__segment" not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        held = sorted(value.items()) if isinstance(value, Mapping) else list(value or [])
        context["widget"] |= {"rows": [*held, *[("", "")] * EMPTY_ROWS], "classes": " ".join(INPUT_CLASSES)}
        return context


class WeightsField(forms.Field):
    """{"gold": 2.5}: how much each segment counts; "" is who has none."""

    widget = WeightsWidget

    def clean(self, value: Any) -> dict[str, int | float]:
        found: dict[str, int | float] = {}
        for segment, weight in value or []:
            if segment and not is_segment(segment):
                raise ValidationError(_("A segment has 1 to 100 characters."))
            if segment in found:
                raise ValidationError(_("The segment “%(segment)s” stands twice."), params={"segment": segment})
            found[segment] = as_number(_number(weight, 0, WEIGHT_AT_MOST))
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [(segment, weight) for segment, weight in data or []] != [
            (segment, str(weight)) for segment, weight in sorted((initial or {}).items())
        ]


class LanguagesField(PartsField):
    """BCP 47 tags, the default one first: checkboxes for what is known here, a line for all others."""

    nothing = []

    def __init__(self, held: Sequence[str], **options: Any) -> None:
        self.known = list(dict.fromkeys([*held, *LANGUAGES]))
        named = [(tag, f"{language_name(tag)} · {tag}") for tag in self.known]
        parts = {
            "first": (_("Default"), UnfoldAdminSelectWidget(choices=named)),
            "known": (_("Languages"), UnfoldAdminCheckboxSelectMultipleWidget(choices=named)),
            "others": (_("Others, by tag"), _text_input(placeholder="de, pt-br")),
        }
        super().__init__(PartsWidget(parts, self.take_apart), **options)

    @staticmethod
    def take_apart(value: Sequence[str]) -> dict[str, Any]:
        return {"first": value[0] if value else "", "known": list(value), "others": ""}

    def put_together(self, typed: Mapping[str, Any]) -> list[str]:
        others = [part for part in re.split(r"[,，、;；\s]+", str(typed.get("others") or "")) if part]
        chosen = [tag for tag in (typed.get("known") or []) if tag in self.known]
        for tag in others:
            if not TAG.match(tag) or len(tag) > 20:
                raise ValidationError(_("“%(tag)s” is not a language such as en or zh-hans."), params={"tag": tag})
            chosen.append(normalise_tag(tag))
        first = typed.get("first")
        if first in self.known:
            chosen = [str(first), *chosen]  # what is the default is used, checked or not
        return list(dict.fromkeys(chosen))


class ScopesField(forms.MultipleChoiceField):
    """What an API key may do, each scope with what it is for."""

    MEANINGS: Mapping[str, Any] = {
        "events:write": gettext_lazy("Post interaction and ticket events; invite a customer"),
        "responses:write": gettext_lazy("Post answers that another system collected"),
        "responses:read": gettext_lazy("Read answers and invitations, with names and verbatims"),
        "metrics:read": gettext_lazy("Read NPS, CSAT, CES and TTR"),
        "customers:read": gettext_lazy("Export all that is held about a customer"),
        "customers:write": gettext_lazy("Erase a customer"),
    }

    def __init__(self, **options: Any) -> None:
        choices = [(scope, f"{self.MEANINGS[scope]} · {scope}") for scope in SCOPES]
        super().__init__(choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, **options)

    def clean(self, value: Any) -> list[str]:
        return sorted(set(super().clean(value)), key=SCOPES.index)


class ColourField(forms.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(widget=UnfoldAdminColorInputWidget(), **options)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if not COLOUR.match(text):
            raise ValidationError(_("“%(text)s” is not a colour such as #0f766e."), params={"text": text})
        return text.lower()


# --- Lines and pairs --------------------------------------------------------------------------------------------------


class OriginsField(_Read):
    """Sites that may show a form: scheme and host, one in a line."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget({"rows": 3, "placeholder": "https://shop.example.com"})
        super().__init__(widget=widget, **options)

    @property
    def empty(self) -> list[str]:
        return []

    def shown(self, value: Any) -> str:
        return "\n".join(value)

    def read(self, text: str) -> list[str]:
        found = []
        for line in re.split(r"[\s,，;；]+", text.strip(" \n,，;；")):
            if not line:
                continue
            try:
                found.append(origin_of(line[:300]))
            except ValueError:
                raise ValidationError(
                    _("“%(line)s” is not an origin such as https://shop.example.com: no path, no *."),
                    params={"line": line[:100]},
                ) from None
        return list(dict.fromkeys(found))


class ExpressionField(forms.CharField):
    """A rule's `when`, parsed at entry."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(
            {"rows": 2, "class": "cx-code", "spellcheck": "false", "placeholder": "facts.wait_seconds < 3600"}
        )
        super().__init__(widget=widget, **options)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        check_expression(text)
        return text


def check_expression(text: str, roots: Sequence[str] = ROOTS) -> None:
    """ValidationError, with what is wrong and where, for an expression that cannot be evaluated."""
    try:
        parse(text, roots)
    except ExpressionError as error:
        said = _(error.template) % error.named if error.named else _(error.template)
        raise ValidationError(
            _("%(fault)s, at character %(position)d: %(before)s▸%(after)s"),
            params={
                "fault": said,
                "position": error.position + 1,
                "before": text[max(0, error.position - 20) : error.position],
                "after": text[error.position : error.position + 20],
            },
        ) from None


class TicketEventsWidget(forms.Widget):
    """Rows of (their event type, ours)."""

    template_name = "staff/widgets/pairs.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        theirs, ours = _listed(data, f"{name}__theirs"), _listed(data, f"{name}__ours")
        return [(left.strip(), right) for left, right in zip(theirs, ours, strict=False) if left.strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}__theirs" not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        pairs = list(value.items()) if isinstance(value, Mapping) else list(value or [])
        context["widget"] |= {
            "pairs": [*pairs, *[("", "")] * EMPTY_ROWS],
            "choices": TICKET_EVENTS,
            "classes": " ".join(INPUT_CLASSES),
        }
        return context


class TicketEventsField(forms.Field):
    """{"case.solved": "ticket.resolved"}: which of their event types are ours."""

    widget = TicketEventsWidget

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for theirs, ours in value or []:
            if ours not in TICKET_EVENTS:
                raise ValidationError(_("Choose what “%(type)s” means."), params={"type": theirs})
            if len(theirs) > 100 or UNSTORABLE.search(theirs):
                raise ValidationError(_("An event type has 1 to 100 characters."))
            if theirs in found:
                raise ValidationError(_("The event type “%(type)s” stands twice."), params={"type": theirs})
            found[theirs] = ours
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return dict(data or []) != dict(initial or {})


def _listed(data: Any, name: str) -> list[str]:
    """All values of a name; data of a test may be a plain dict."""
    if hasattr(data, "getlist"):
        return list(data.getlist(name))
    held = data.get(name, [])
    return [held] if isinstance(held, str) else list(held)
