"""Codes to print: a touchpoint's open form, for it as a whole and for each of its places.

In: what somebody chose of languages, places and a size. Out: sheets of A4, or the codes alone as SVG and PNG. Nothing is stored: the
same choice makes the same codes again. What a sheet says to customers comes from surveys/phrases.py, in their languages.
"""

import base64
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.clickjacking import xframe_options_sameorigin

from surveys import colours
from surveys.admin.configuration import ConfigAdmin
from surveys.admin.texts import language_name, languages_of
from surveys.flow.links import (
    CODE_MAX,
    KnownLocation,
    is_only_here,
    known_locations,
    leads_somewhere,
    public_url,
    qr_png_file,
    qr_svg,
    qr_svg_file,
    typed_url,
)
from surveys.flow.programme.document import UNSTORABLE
from surveys.models import Logo, Organisation, Response, Touchpoint
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import match_language, pick

CODES_MAX = 200  # on one go: fifty sheets of cards
LANGUAGES_MAX = 3  # more than three do not fit a card
LOCATION_MAX: int = Response._meta.get_field("location").max_length or 0
KINDS: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "svg": ("image/svg+xml", qr_svg_file),
    "png": ("image/png", qr_png_file),
}
# How many of each fit a sheet of A4, and how each is called.
SIZES = {
    "poster": (1, gettext_lazy("Poster: one on A4")),
    "card": (4, gettext_lazy("Cards: four A6 on A4, to cut")),
    "tent": (1, gettext_lazy("Table tent: A4, to fold in the middle")),
}


class Said(TypedDict):
    """What a sheet says in one language."""

    tag: str
    organisation: str
    touchpoint: str
    scan: str
    scan_text: str


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a sheet. `location` is "" for the touchpoint as a whole."""

    location: str
    picture: SafeString
    address: str
    files: Sequence[tuple[str, str]]  # kind and where to get it


def refuse_location(location: str, touchpoint: Touchpoint) -> None:
    """ValidationError for a place that cannot be stored with an answer, or whose code could not be drawn."""
    if UNSTORABLE.search(location):
        raise ValidationError(_("This contains a character that cannot be stored."))
    if len(location) > LOCATION_MAX:
        raise ValidationError(
            _("“%(start)s…” has %(count)d characters; at most %(longest)d fit."),
            params={"start": location[:30], "count": len(location), "longest": LOCATION_MAX},
        )
    if (
        len(public_url(touchpoint, "qr", location)) > CODE_MAX
    ):  # letters that take many bytes, and a long host of our own
        raise ValidationError(
            _("“%(start)s…” makes an address that is too long for a code. A shorter name helps."),
            params={"start": location[:30]},
        )


class CodesForm(forms.Form):
    """What to print. Unbound, it chooses the first language, a poster, and the touchpoint as a whole."""

    languages = forms.MultipleChoiceField(
        label=gettext_lazy("Languages"), widget=forms.CheckboxSelectMultiple, help_text=gettext_lazy("At most three.")
    )
    size = forms.ChoiceField(label=gettext_lazy("Size"), widget=forms.RadioSelect)
    whole = forms.BooleanField(label=gettext_lazy("One for no place in particular"), required=False)
    known = forms.MultipleChoiceField(
        label=gettext_lazy("Places heard of"), widget=forms.CheckboxSelectMultiple, required=False
    )
    more = forms.CharField(
        label=gettext_lazy("More places"),
        help_text=gettext_lazy("One in a line: a branch, a table, a till. Each answer is stored with this name."),
        widget=forms.Textarea(attrs={"rows": 5, "class": "rec-input", "spellcheck": "false"}),
        required=False,
        strip=False,
        max_length=CODES_MAX * (LOCATION_MAX + 2),
    )

    def __init__(
        self, data: Any, touchpoint: Touchpoint, languages: Sequence[str], known: Sequence[tuple[str, str]]
    ) -> None:
        first = {"languages": list(languages[:1]), "size": "poster", "whole": True}
        super().__init__(data, initial=first, auto_id="codes_%s")
        self.touchpoint = touchpoint
        fields: Any = self.fields
        fields["languages"].choices = [(tag, language_name(tag)) for tag in languages]
        fields["size"].choices = [(key, label) for key, (_count, label) in SIZES.items()]
        fields["known"].choices = known

    def clean_languages(self) -> list[str]:
        chosen = list(self.cleaned_data["languages"])
        if len(chosen) > LANGUAGES_MAX:
            raise ValidationError(_("Choose at most three languages: more do not fit."))
        return chosen

    def clean_more(self) -> list[str]:
        places = [line.strip() for line in self.cleaned_data["more"].splitlines()]
        faults: list[ValidationError] = []
        for place in filter(None, places):
            try:
                refuse_location(place, self.touchpoint)
            except ValidationError as fault:
                faults.append(fault)
        if faults:
            raise ValidationError(faults[:10])
        return [place for place in places if place]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            for place in cleaned["known"]:
                refuse_location(place, self.touchpoint)
            if not self.locations:
                raise ValidationError(_("Choose a place, or the code for no place in particular."))
            if len(self.locations) > CODES_MAX:
                raise ValidationError(
                    _("These are %(count)d codes; at most %(most)d are made at once."),
                    params={"count": len(self.locations), "most": CODES_MAX},
                )
        return cleaned

    @property
    def locations(self) -> list[str]:
        """Each place once, in the order of the page; "" for none in particular."""
        given = self.cleaned_data
        return list(dict.fromkeys([*([""] if given["whole"] else []), *given["known"], *given["more"]]))


class PrintsCodes(ConfigAdmin):
    """A touchpoint's pages of codes. Whoever may see the touchpoint may print them: they give away nothing but its address."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/codes/", view(self.codes_view), name="surveys_touchpoint_codes"),
            path("<int:pk>/codes/<str:kind>/", view(self.code_view), name="surveys_touchpoint_code"),
            *super().get_urls(),
        ]

    def codes_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """The choice, and what was chosen: `do` is preview, print, svg or png."""
        row = self._touchpoint(request, pk)
        if row is None:
            return self.missing(request, str(pk))
        form = CodesForm(
            request.POST if request.method == "POST" else None, row, languages_of(request), self._known(request, row)
        )
        wanted = request.POST.get("do", "")
        if request.method == "POST":
            is_valid = form.is_valid()
            if wanted == "preview" or (is_valid and wanted not in KINDS):
                return _sheet(request, row, form, is_print=wanted == "print")
            if is_valid:
                return _archive(row, form.locations, wanted)
        return self.page(
            request,
            "staff/codes.html",
            title=_("Codes to print: %(name)s") % {"name": row.label},
            original=row,
            row=row,
            form=form,
            leads_somewhere=leads_somewhere(row),
            is_only_here=is_only_here(),
            media=self.media,
            status=422 if form.is_bound else 200,
        )

    def code_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponse:
        """One code as a file, for the place in `loc`."""
        row = self._touchpoint(request, pk)
        location = request.GET.get("loc", "").strip()
        if row is None or kind not in KINDS:
            raise Http404
        try:
            refuse_location(location, row)
        except ValidationError as fault:
            return HttpResponse("\n".join(fault.messages), status=400, content_type="text/plain; charset=utf-8")
        mime, draw = KINDS[kind]
        response = HttpResponse(draw(public_url(row, "qr", location)), content_type=mime)
        name = content_disposition_header(True, f"{_file_name(row, location)}.{kind}")
        response["Content-Disposition"] = name or "attachment"
        return response

    def _touchpoint(self, request: HttpRequest, pk: int) -> Touchpoint | None:
        row: Touchpoint | None = Touchpoint.objects.filter(pk=pk).first()
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _known(self, request: HttpRequest, row: Touchpoint) -> list[tuple[str, str]]:
        """Name and label of each known place; how many answers came from it is for those who may read answers."""
        sees_answers = request.user.has_perm("surveys.view_response")
        return [(place.name, _told(place) if sees_answers else place.name) for place in known_locations(row)]


def _told(place: KnownLocation) -> str:
    if not place.answers:
        return _("%(place)s (no answers yet)") % {"place": place.name}
    told = ngettext("%(place)s (%(count)d answer)", "%(place)s (%(count)d answers)", place.answers)
    return told % {"place": place.name, "count": place.answers}


@xframe_options_sameorigin
def _sheet(request: HttpRequest, row: Touchpoint, form: CodesForm, *, is_print: bool) -> HttpResponse:
    """The sheets as a page of their own: nothing of the admin, light whatever the reader's theme. With faults, these instead."""
    is_valid = form.is_valid()
    size = form.cleaned_data["size"] if is_valid else "poster"
    per_page = SIZES[size][0]
    codes = [_code(row, location) for location in form.locations] if is_valid else []
    if len(codes) == 1:
        codes *= per_page  # a sheet of one card would be three quarters waste
    organisation = Organisation.current()
    said = [_said(organisation, row, tag) for tag in form.cleaned_data["languages"]] if is_valid else []
    accent = organisation.accent if colours.is_colour(organisation.accent) else colours.INK
    context = {
        "row": row,
        "size": size,
        "pages": [codes[start : start + per_page] for start in range(0, len(codes), per_page)],
        "said": said,
        "whose": _once((one["organisation"], one["tag"]) for one in said),
        "what": _once((one["touchpoint"], one["tag"]) for one in said),
        "typed": typed_url(row),
        "logo": _embedded(organisation.logo) if organisation.logo else "",
        "accent": colours.readable(accent, colours.WHITE),
        "radius": organisation.radius,
        "faults": [text for texts in form.errors.values() for text in texts],
        "leads_somewhere": leads_somewhere(row),
        "is_print": is_print,
    }
    return render(
        request, "staff/code_sheet.html", context
    )  # a choice that is not complete yet is no error of a preview


def _embedded(logo: Logo) -> str:
    """The picture as an address that holds it: a sheet is one file, whole when it is saved or printed later."""
    return f"data:{logo.content_type};base64,{base64.b64encode(logo.data).decode()}"


def _once(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name to language, in order; one that is the same in two languages is read once."""
    found: dict[str, str] = {}
    for name, tag in names:
        found.setdefault(name, tag)
    return found


def _said(organisation: Organisation, row: Touchpoint, tag: str) -> Said:
    fallbacks = [organisation.default_language, "en"]
    shown = match_language(tag, LANGUAGES) or "en"
    say = Phrases(organisation.phrases.get(shown))
    with translation.override(shown):
        return {
            "tag": tag,
            "organisation": pick(organisation.name, tag, fallbacks),
            "touchpoint": pick(row.name, tag, fallbacks) or row.slug,
            "scan": say["scan"],
            "scan_text": say["scan_text"],
        }


def _code(row: Touchpoint, location: str) -> Code:
    address = public_url(row, "qr", location)
    query = f"?{urlencode({'loc': location})}" if location else ""
    files = [(kind, reverse("admin:surveys_touchpoint_code", args=[row.pk, kind]) + query) for kind in KINDS]
    return Code(location, qr_svg(address), address, files)


def _file_name(row: Touchpoint, location: str) -> str:
    """Without its ending; what some file systems refuse is replaced."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", f"{row.slug}-{location}" if location else row.slug).rstrip(". ")


class _Pipe(io.RawIOBase):
    """Where an archive is written to while it is sent: holds what was not sent yet, and cannot be wound back."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        taken, self._waiting = bytes(self._waiting), bytearray()
        return taken


def _archive(row: Touchpoint, locations: Sequence[str], kind: str) -> StreamingHttpResponse:
    """All codes as one ZIP, drawn one by one while it goes out."""
    draw = KINDS[kind][1]
    # Read now: while it is sent there is no request any more.
    drawn = [(_file_name(row, location), public_url(row, "qr", location)) for location in locations]

    def parts() -> Iterator[bytes]:
        pipe = _Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
            taken: set[str] = set()
            for number, (name, address) in enumerate(drawn, 1):
                # Two places that differ in what a file name cannot hold, or in case alone, stay two files.
                unique = name if name.casefold() not in taken else f"{name}-{number}"
                taken.add(unique.casefold())
                archive.writestr(f"{unique}.{kind}", draw(address))
                yield pipe.take()
        yield pipe.take()

    response = StreamingHttpResponse(parts(), content_type="application/zip")
    response["Content-Disposition"] = content_disposition_header(True, f"{row.slug}-codes-{kind}.zip") or "attachment"
    return response
