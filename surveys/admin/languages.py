"""Which texts are missing in which of the organisation's languages, each with the page where it is written. In: rows. Out: a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys.admin.letter_texts import LETTER_LABELS
from surveys.admin.texts import language_name
from surveys.flow.gaps import Gap, find_gaps
from surveys.models import Instrument, InvitationRule, Organisation, Touchpoint
from surveys.phrases import LANGUAGES
from surveys.texts import match_language
from surveys.words import band_name

# What each kind of gap is called; %(key)s is a question's, %(part)s an option's key, a band or a number.
WORDS: Mapping[str, Any] = {
    "name": gettext_lazy("the name"),
    "privacy": gettext_lazy("the privacy notice"),
    "phrases": gettext_lazy("buttons and errors, which are shown in English"),
    "text": gettext_lazy("question “%(key)s”"),
    "low": gettext_lazy("low end of “%(key)s”"),
    "high": gettext_lazy("high end of “%(key)s”"),
    "option": gettext_lazy("option “%(part)s” of “%(key)s”"),
    "by_band": gettext_lazy("“%(key)s” for %(part)s"),
    "thanks_title": gettext_lazy("thank-you title, %(key)s"),
    "thanks_text": gettext_lazy("thank-you text, %(key)s"),
    "thanks_link": gettext_lazy("thank-you link %(part)s, %(key)s"),
    "share": gettext_lazy("label of the share link"),
    "sender_name": gettext_lazy("the sender’s name"),
    "letter": gettext_lazy("its own “%(key)s”: the standard one is said"),
}
ON_ITS_OWN_PAGE = (
    "thanks_title",
    "thanks_text",
    "thanks_link",
    "share",
)  # of an instrument; all else is among its questions


SHORT_LIST = 4  # longer ones are folded


@dataclass(frozen=True)
class Place:
    """A row with what is missing in its texts. `url`: where it is written, "" for whoever may not."""

    title: str
    url: str
    missing: Sequence[str]

    @property
    def is_short(self) -> bool:
        return len(self.missing) <= SHORT_LIST


@dataclass(frozen=True)
class Language:
    tag: str
    name: str
    is_ours: bool  # we ship phrases and standard questions in it
    own: int  # phrases of the organisation's own
    count: int
    places: Sequence[Place]


def languages_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    organisation = Organisation.current()
    languages = [
        Language(
            tag=tag,
            name=language_name(tag),
            is_ours=match_language(tag, LANGUAGES) is not None,
            own=len(organisation.phrases.get(match_language(tag, LANGUAGES) or tag, {})),
            count=len(gaps),
            places=places_of(request, gaps),
        )
        for tag, gaps in find_gaps(organisation).items()
    ]
    response: HttpResponse = model_admin.page(
        request,
        "staff/languages.html",
        title=_("Languages"),
        original=organisation,
        languages=languages,
        section="languages",
    )
    return response


def places_of(request: HttpRequest, gaps: Sequence[Gap]) -> list[Place]:
    """Gaps by where they are mended."""
    found: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        found.setdefault((_title(gap), _url(request, gap)), []).append(told(gap))
    return [Place(title, url, missing) for (title, url), missing in found.items()]


def told(gap: Gap) -> str:
    """Such as "option “late” of “reason”"."""
    kind, *names = gap.what
    key, part = [*names, "", ""][:2]
    if isinstance(gap.row, Instrument):
        if kind == "by_band":
            part = band_name(part)
        elif kind in ON_ITS_OWN_PAGE and key:
            key = band_name(key)
    elif kind == "letter":
        key = str(LETTER_LABELS[key])
    return str(WORDS[kind] % {"key": key, "part": part} if names else WORDS[kind])


def _title(gap: Gap) -> str:
    if isinstance(gap.row, Instrument):
        if gap.what[0] in ON_ITS_OWN_PAGE:
            return _("After the answer: %(name)s") % {"name": gap.row.label}
        return _("Questions: %(name)s") % {"name": gap.row.label}
    if isinstance(gap.row, Touchpoint):
        return _("Touchpoint %(name)s") % {"name": gap.row.label}
    if isinstance(gap.row, InvitationRule):
        return _("Rule %(name)s") % {"name": gap.row.slug}
    return _("Organisation")


def _url(request: HttpRequest, gap: Gap) -> str:
    name = gap.row._meta.model_name
    if gap.what[0] == "phrases" or not request.user.has_perm(f"surveys.change_{name}"):
        return ""  # nobody can write phrases in a language that we have none of
    is_question = isinstance(gap.row, Instrument) and gap.what[0] not in ON_ITS_OWN_PAGE
    return reverse(f"admin:surveys_{name}_{'questions' if is_question else 'change'}", args=[gap.row.pk])
