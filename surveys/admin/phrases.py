"""The organisation's own phrases: what its pages and letters say in place of ours. In: what a manager typed. Out: Organisation.phrases.

One language at a time. Whatever equals our own wording is not kept, so that a better one of ours reaches its customers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from surveys.admin.records import noted
from surveys.admin.texts import language_name
from surveys.flow.programme.document import UNSTORABLE
from surveys.flow.programme.values import SENTENCE
from surveys.models import Organisation
from surveys.phrases import LANGUAGES, PHRASES, PLACE, places_of, strange_places
from surveys.texts import match_language, normalise_tag

# The groups of surveys/phrases.py, each by the key it begins with.
GROUPS: Mapping[str, Any] = {
    "send": gettext_lazy("The form"),
    "missing": gettext_lazy("Its errors"),
    "thanks": gettext_lazy("After it, and in its place"),
    "unsubscribe": gettext_lazy("Unsubscribing"),
    "contact": gettext_lazy("Questions that need no author"),
    "widget": gettext_lazy("The widget and the printed code"),
    "hello": gettext_lazy("The letter"),
}
# Where a phrase by itself does not tell where it stands.
NOTES: Mapping[str, Any] = {
    "send": gettext_lazy("The form’s button"),
    "sending": gettext_lazy("On the button, while it is on its way"),
    "optional": gettext_lazy("Beside a question that may be left out"),
    "language": gettext_lazy("Names the language switch to screen readers"),
    "score_of": gettext_lazy("A score, read aloud by screen readers"),
    "stars": gettext_lazy("A star, read aloud by screen readers"),
    "revealed": gettext_lazy("Read aloud when a follow-up appears"),
    "saved": gettext_lazy("After the first tap"),
    "restored": gettext_lazy("After the page was loaded again"),
    "offline": gettext_lazy("While the network is away"),
    "missing": gettext_lazy("Above the list of errors"),
    "test": gettext_lazy("On a form that staff try out"),
    "unsubscribe": gettext_lazy("The link in a letter, and the button"),
    "resubscribe": gettext_lazy("The button that takes it back"),
    "widget": gettext_lazy("Names the widget to screen readers"),
    "feedback": gettext_lazy("On the side tab"),
    "scan": gettext_lazy("Above a printed code"),
    "subject": gettext_lazy("The letter’s subject"),
    "opening": gettext_lazy("In a letter, before the question"),
    "closing": gettext_lazy("In a letter, after the scale"),
    "reminder_subject": gettext_lazy("A reminder’s subject; the letter’s own is filled in"),
    "reminder_opening": gettext_lazy("In a reminder, before the question"),
    "between_labels": gettext_lazy("Between the two ends of a scale"),
}


@dataclass
class Line:
    """A phrase as the page shows it: ours in the language and in the reader's, and what is typed for it."""

    key: str
    note: str
    ours: str
    meaning: str
    own: str
    places: Sequence[str]
    is_plural: bool
    error: str = ""

    @property
    def is_long(self) -> bool:
        return max(len(self.ours), len(self.own)) > 60


# Stands for a place until it is written as one. In every language of ours this number takes the form of many.
_MARK = 987_015


def ours_in(language: str, key: str) -> str:
    """Our wording, with its places; of a plural one that of many."""
    places = sorted(places_of(key))
    with translation.override(match_language(language, LANGUAGES) or "en"):
        if not places:
            return str(PHRASES[key])
        marks = {name: _MARK + 1_000 * number for number, name in enumerate(places)}
        text = str(PHRASES[key] % marks)
    for name, mark in marks.items():
        text = text.replace(str(mark), f"%({name}){'s' if name in _WORDS else 'd'}")
    return text


_WORDS = frozenset(
    {"name", "touchpoint", "organisation", "subject", "question", "scale", "url", "word"}
)  # places of words, not of numbers


def seen_of(held: Mapping[str, str]) -> str:
    """What a page was made from, so that a later change of somebody else's is noticed."""
    return sha256(repr(sorted(held.items())).encode()).hexdigest()[:16]


def fault_in(key: str, text: str) -> str:
    """What is wrong with an own text; "" for nothing."""
    if UNSTORABLE.search(text):
        return _("This contains a character that cannot be stored.")
    if len(text) > SENTENCE:
        return _("%(count)d characters; at most %(longest)d fit.") % {"count": len(text), "longest": SENTENCE}
    strange = strange_places(key, text)
    if strange or "%(" in PLACE.sub("", text):
        known = ", ".join(f"%({name})s" for name in sorted(places_of(key))) or _("none")
        return _("This is not a place of this phrase. It has: %(places)s.") % {"places": known}
    return ""


def lines_of(language: str, own: Mapping[str, str], errors: Mapping[str, str]) -> list[tuple[str, list[Line]]]:
    """All phrases in their groups."""
    reader = translation.get_language() or "en"
    groups: list[tuple[str, list[Line]]] = []
    for key in PHRASES:
        if key in GROUPS or not groups:
            groups.append((str(GROUPS[key]), []))
        ours, meaning = ours_in(language, key), ours_in(reader, key)
        places = sorted(places_of(key))
        groups[-1][1].append(
            Line(
                key=key,
                note=str(NOTES.get(key, "")),
                ours=ours,
                meaning="" if meaning == ours else meaning,
                own=own.get(key, ""),
                places=[place[0] for place in PLACE.finditer(ours)],
                is_plural="count" in places,
                error=errors.get(key, ""),
            )
        )
    return groups


def phrases_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """All phrases in one language; saved together or not at all."""
    organisation = Organisation.current()
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    may_edit = model_admin.has_change_permission(request, organisation)
    language = normalise_tag(request.GET.get("language", "")[:20])
    if language not in LANGUAGES:
        language = match_language(organisation.default_language, LANGUAGES) or "en"
    own: Mapping[str, str] = organisation.phrases.get(language, {})
    errors: dict[str, str] = {}
    wrong = ""
    seen = seen_of(own)
    if request.method == "POST":
        if not may_edit:
            raise PermissionDenied
        seen = request.POST.get("seen", "")
        own = {key: " ".join(request.POST.get(f"p-{key}", "").split()) for key in PHRASES}
        own = {key: text for key, text in own.items() if text}
        errors = {key: fault for key, text in own.items() if (fault := fault_in(key, text))}
        if not errors:
            saved = _save(model_admin, request, language, own, seen)
            if saved:
                return HttpResponseRedirect(f"{request.path}?language={language}")
            wrong = _("Somebody else changed these phrases meanwhile. Open the page again to see theirs.")
    counts = {tag: len(texts) for tag, texts in organisation.phrases.items()}
    spoken = [tag for tag in map(_served_by, organisation.languages) if tag]
    choices = [
        {"tag": tag, "name": language_name(tag), "own": counts.get(tag, 0), "current": tag == language}
        for tag in dict.fromkeys([*spoken, *LANGUAGES])
    ]
    response: HttpResponse = model_admin.page(
        request,
        "staff/phrases.html",
        title=_("Own words"),
        original=organisation,
        language=language,
        language_name=language_name(language),
        spoken=choices[: len(dict.fromkeys(spoken))],
        others=choices[len(dict.fromkeys(spoken)) :],
        groups=lines_of(language, own, errors),
        errors=errors,
        wrong=wrong,
        seen=seen,
        longest=SENTENCE,
        own_count=counts.get(language, 0),
        may_edit=may_edit,
        section="phrases",
        status=422 if errors or wrong else 200,
    )
    return response


def _served_by(language: str) -> str:
    return match_language(language, LANGUAGES) or ""


def _save(model_admin: Any, request: HttpRequest, language: str, own: dict[str, str], seen: str) -> bool:
    """False where the page was made from other phrases. Only this language is touched: others may be written at the same time."""
    kept = {key: text for key, text in own.items() if text != ours_in(language, key) or "count" in places_of(key)}
    with transaction.atomic():
        row = Organisation.objects.select_for_update(of=("self",)).get(pk=Organisation.current().pk)
        held = row.phrases.get(language, {})
        if seen_of(held) != seen:
            return False
        if kept == held:
            messages.info(request, _("Nothing was changed."))
            return True
        row.phrases = {tag: texts for tag, texts in {**row.phrases, language: kept}.items() if texts}
        row.save(update_fields=["phrases"])
        noted(request, row, f"{capfirst(_('own phrases'))}: {language_name(language)}, {len(kept)}")
    messages.success(
        request,
        ngettext("%(count)d own phrase is used.", "%(count)d own phrases are used.", len(kept)) % {"count": len(kept)},
    )
    for key, text in kept.items():
        left_out = places_of(key) - set(PLACE.findall(text))
        if left_out:
            names = ", ".join(f"%({name})" for name in sorted(left_out))
            messages.warning(request, _("“%(text)s” leaves out %(places)s.") % {"text": text[:80], "places": names})
    return True
