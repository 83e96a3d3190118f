"""How respondents' pages look: logo, colour, corners, light or dark. In: what a manager chose. Out: the organisation's theme.

The page shows the form itself in that theme, before it is saved, and tells where a colour cannot be read and what stands in its place.
"""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.widgets import (
    UnfoldAdminColorInputWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from surveys import colours
from surveys.admin.fields import SHORT, ColourField
from surveys.admin.records import noted
from surveys.flow.logo import MOST_BYTES, LogoError, Picture, keep_logo, read_logo
from surveys.flow.programme.values import RADIUS
from surveys.models import Instrument, Organisation
from surveys.models.journeys import Scheme
from surveys.words import rounded


class LogoField(forms.FileField):
    """The bytes and what they are, as (bytes, Picture); None where nothing was chosen."""

    def clean(self, data: Any, initial: Any = None) -> tuple[bytes, Picture] | None:
        if not isinstance(data, UploadedFile):
            return None
        held = data.read(MOST_BYTES + 1) if (data.size or 0) <= MOST_BYTES else b"x" * (data.size or 0)
        try:
            return held, read_logo(held)
        except LogoError as error:
            raise ValidationError(str(error)) from None


class LookForm(forms.Form):
    def __init__(self, *args: Any, held: Organisation, **kwargs: Any) -> None:
        kwargs["initial"] = {"accent": held.accent, "radius": held.radius, "scheme": held.scheme}
        super().__init__(*args, **kwargs)
        self.fields["accent"] = ColourField(label=_("Accent colour"))
        self.fields["accent"].widget = UnfoldAdminColorInputWidget({"data-look": "accent"})
        self.fields["radius"] = forms.IntegerField(
            label=_("Corner radius"), min_value=0, max_value=RADIUS, help_text=_("In pixels, 0 to 24."),
            widget=UnfoldAdminIntegerFieldWidget({"class": SHORT, "data-look": "radius", "min": 0, "max": RADIUS}),
        )  # fmt: skip
        self.fields["scheme"] = forms.ChoiceField(
            label=_("Light or dark"), choices=Scheme.choices, widget=UnfoldAdminSelectWidget({"data-look": "scheme"})
        )
        accepted = "image/png,image/jpeg,image/webp,image/svg+xml"
        self.fields["logo"] = LogoField(
            label=_("Logo"), required=False, widget=UnfoldAdminFileFieldWidget({"accept": accepted}),
            help_text=_("PNG, JPEG, WebP or SVG, at most 100 KB. It stands in place of the name, at most 220 × 40 pixels large."),
        )  # fmt: skip
        if held.logo_id:
            self.fields["no_logo"] = forms.BooleanField(label=_("Show the name, and no logo"), required=False)


def look_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    organisation = Organisation.current()
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    may_edit = model_admin.has_change_permission(request, organisation)
    if "told" in request.GET:
        return _told(request)
    if request.method == "POST" and not may_edit:
        raise PermissionDenied
    form = LookForm(request.POST or None, request.FILES or None, held=organisation)
    if request.method == "POST" and form.is_valid():
        _save(request, form.cleaned_data)
        return HttpResponseRedirect(request.path)
    instrument = (
        Instrument.objects.filter(touchpoints__active=True, active=True).order_by("touchpoints__pk").first()
        or Instrument.objects.order_by("-builtin", "pk").first()
    )
    shown_accent = str(form["accent"].value() or "")
    response: HttpResponse = model_admin.page(
        request,
        "staff/look.html",
        title=_("Look"),
        original=organisation,
        form=form,
        logo=organisation.logo,
        accent=organisation.accent,
        radius=organisation.radius,
        scheme=Scheme(organisation.scheme).label if organisation.scheme in Scheme.values else organisation.scheme,
        corrections=corrections_told(shown_accent),
        preview_url=reverse("admin:surveys_instrument_preview", args=[instrument.pk]) if instrument else "",
        scheme_value=form["scheme"].value(),
        kinds=[("light", _("Light")), ("dark", _("Dark"))],
        query=_query(form),
        may_edit=may_edit,
        section="look",
        status=422 if form.is_bound else 200,
    )
    return response


def _query(form: LookForm) -> str:
    """What was typed and not saved, for the previews, in the reader's language where it is offered."""
    typed = {name: str(form[name].value() or "") for name in ("accent", "radius")} if form.is_bound else {}
    return urlencode({"language": translation.get_language() or "en", **typed}) + "&"


def _told(request: HttpRequest) -> HttpResponse:
    """What the page says of a colour that is only being tried."""
    told = corrections_told(request.GET.get("told", "")[:7])
    return render(request, "staff/_corrections.html", {"corrections": told})


def corrections_told(accent: str) -> list[dict[str, str]]:
    """Where a colour is too faint, and what respondents see in its place; nothing for what is no colour."""
    if not colours.is_colour(accent):
        return []
    return [
        {
            "scheme": one.scheme,
            "contrast": rounded(one.contrast, 1),
            "wanted": rounded(colours.AA, 1),
            "given": accent.lower(),
            "shown": one.shown,
        }
        for one in colours.corrections(accent)
    ]


def _save(request: HttpRequest, given: dict[str, Any]) -> None:
    with transaction.atomic():
        row = Organisation.objects.select_for_update(of=("self",)).get(pk=Organisation.current().pk)
        wanted: dict[str, Any] = {name: given[name] for name in ("accent", "radius", "scheme")}
        if given["logo"] is not None:
            wanted["logo"] = keep_logo(*given["logo"])
        elif given.get("no_logo"):
            wanted["logo"] = None
        changed = [name for name, value in wanted.items() if getattr(row, name) != value]
        if not changed:
            messages.info(request, _("Nothing was changed."))
            return
        for name in changed:
            setattr(row, name, wanted[name])
        row.save(update_fields=changed)
        names = ", ".join(str(row._meta.get_field(name).verbose_name) for name in changed)  # type: ignore[union-attr]
        noted(request, row, f"{capfirst(_('look'))}: {names}")
    messages.success(request, _("Every form that is opened from now on looks like this."))
