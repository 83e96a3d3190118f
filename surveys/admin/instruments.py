"""Instruments: their name, what they ask, in versions, and how that looks to a customer.

In: what a manager types. Out: rows; wording goes through flow/instruments.py, so that an answered version is never touched. A preview
renders the customers' own template and can neither be sent nor record anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csp.constants import NONE, SELF
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from surveys import colours
from surveys import forms as respondent_forms
from surveys.admin.configuration import ConfigAdmin, link_to, list_url, made
from surveys.admin.questions import QuestionFormSet, bands_shown, form_set_of, seen_of, standard_contact, terms_in
from surveys.admin.records import moment, noted
from surveys.admin.texts import language_name, languages_of
from surveys.admin.thanks import LinkField, ThanksField
from surveys.flow.builtins import SCALE_OF, standard_terms
from surveys.flow.fixed import is_answered, keeps_slug
from surveys.flow.gaps import serves, texts_of_instrument
from surveys.flow.instruments import SCORE_KEY, InstrumentError, QuestionTerms, publish_version, terms_of_version
from surveys.flow.programme.values import QUESTIONS, RADIUS
from surveys.flow.thanks import ANY, bands_of
from surveys.look import look_of
from surveys.models import Instrument, InstrumentVersion, Organisation, Touchpoint, Wording
from surveys.models.instruments import Display, Kind, Metric
from surveys.models.journeys import Scheme
from surveys.phrases import LANGUAGES, Phrases
from surveys.scales import SCALES, scale_for
from surveys.texts import fill, match_language, pick

# The form's own policy without a way out: framed by our pages only, scripts of ours, and nowhere to send anything.
PREVIEW_POLICY = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF],
    "connect-src": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-scripts"],
}


def scale_word(metric: str, points: int) -> str:
    """Such as "CSAT, 1–5"."""
    scale = scale_for(metric, points)
    return f"{Metric(metric).label}, {scale.low}–{scale.high}"


class InstrumentForm(forms.ModelForm):  # type: ignore[type-arg]
    """`scale` stands for metric and points, which only go together."""

    scale = forms.ChoiceField(label=gettext_lazy("Metric and scale"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["scale"]
        choices = [(f"{metric}:{points}", scale_word(metric, points)) for metric, points in SCALES]
        field.widget = UnfoldAdminSelectWidget()
        field.choices = choices if self.instance.pk else [("", _("Select value")), *choices]
        if self.instance.pk:
            field.initial = f"{self.instance.metric}:{self.instance.points}"
            field.help_text = _("Another one starts with its standard questions again. Fixed from the first answer on.")
        else:
            field.help_text = _("It starts with the standard questions of its scale; change them next.")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        metric, _colon, points = str(cleaned.get("scale", "")).partition(":")
        if points:
            self.instance.metric, self.instance.points = metric, int(points)
            if "thanks" in cleaned:  # another scale has other bands: what was written for all others stays
                known = bands_of(self.instance.metric, self.instance.points)
                cleaned["thanks"] = {band: block for band, block in cleaned["thanks"].items() if band in known}
        return cleaned


class _Most(forms.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=QUESTIONS, widget=UnfoldAdminIntegerFieldWidget(), **options)


def _thanks(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    """One block for each band of the instrument whose page this is (`get_form`)."""
    row: Any = getattr(request, "_cx_instrument", None)
    bands = {**(bands_shown(row) if row is not None else {}), ANY: _("All others, and without a score")}
    said = _(
        "After “Send”. Links of a band are for help or a call; asking only the happy ones for public reviews misleads."
    )
    return ThanksField(bands, languages=languages_of(request), **{**options, "help_text": said, "required": False})


def _share(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _(
        "On the thank-you page of everyone alike, whatever they answered: sending only happy customers to a review site is review"
        " gating, which misleads readers and which review sites forbid."
    )
    return LinkField(languages=languages_of(request), **{**options, "help_text": said, "required": False})


@admin.register(Instrument)
class InstrumentAdmin(ConfigAdmin):
    form = InstrumentForm
    list_display = ["named", "slug", "scale_shown", "version_shown", "languages_shown", "touchpoints_shown", "active"]
    list_display_links = ["named"]
    list_filter = ["metric", "builtin", "active"]
    search_fields = ["slug", "name"]
    search_help_text = gettext_lazy("Slug or name")
    change_form_outer_after_template = "staff/instrument.html"
    own_fields = {"thanks": _thanks, "share": _share, "max_questions": made(_Most)}
    empty_text = gettext_lazy("An instrument is what customers are asked: one scale, and questions that follow it.")

    # --- The list -----------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instrument]:
        rows: QuerySet[Instrument] = super().get_queryset(request)
        newest = Wording.objects.filter(question__key=SCORE_KEY, version__instrument=OuterRef("pk"))
        return rows.annotate(
            version_number=Max("versions__number"),
            touchpoint_count=Count("touchpoints", distinct=True),
            score_text=Subquery(newest.order_by("-version__number").values("text")[:1]),
        )

    @admin.display(description=gettext_lazy("scale"), ordering="metric")
    def scale_shown(self, row: Instrument) -> str:
        return scale_word(row.metric, row.points)

    @admin.display(description=gettext_lazy("version"), ordering="version_number")
    def version_shown(self, row: Any) -> Any:
        return row.version_number or "–"

    @admin.display(description=gettext_lazy("languages"))
    def languages_shown(self, row: Any) -> str:
        return ", ".join(sorted(row.score_text or {})) or "–"

    @admin.display(description=gettext_lazy("touchpoints"), ordering="touchpoint_count")
    def touchpoints_shown(self, row: Any) -> SafeString | str:
        return link_to(list_url(Touchpoint, f"?instrument__id__exact={row.pk}"), row.touchpoint_count)

    # --- Its own page -------------------------------------------------------------------------------------------------

    def sections(self, request: HttpRequest, obj: Instrument | None = None) -> list[tuple[Any, list[str]]]:
        scale = "scale_shown" if obj is not None and not self.may_rescale(request, obj) else "scale"
        first = (None, ["name", "slug", scale, "max_questions", "active"])
        if obj is None:  # its bands are not known yet
            return [first]
        return [first, (_("After the answer"), ["thanks", "share"])]

    def get_form(self, request: HttpRequest, obj: Instrument | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Without `scale` once it is fixed: a field that a form declares is read from whatever is posted."""
        request._cx_instrument = obj  # type: ignore[attr-defined]
        if obj is not None and not self.may_rescale(request, obj):
            kwargs["form"] = forms.ModelForm
        return super().get_form(request, obj, change=change, **kwargs)

    def may_rescale(self, request: HttpRequest, obj: Instrument) -> bool:
        return self.has_change_permission(request, obj) and not (obj.builtin or is_answered(obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Instrument | None = None) -> list[str]:
        if obj is None:
            return []
        fixed = [] if self.may_rescale(request, obj) else ["scale_shown"]
        return [*fixed, "slug"] if keeps_slug(obj) else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # answers hang on versions; `active` takes one out of use

    def save_model(self, request: HttpRequest, obj: Instrument, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if not change or "scale" in form.changed_data:
                slug = next(name for name, known in SCALE_OF.items() if known == obj.scale)
                publish_version(obj, standard_terms(slug))

    def response_add(self, request: HttpRequest, obj: Instrument, post_url_continue: str | None = None) -> HttpResponse:
        """On to its questions: nobody makes an instrument for the standard ones, which are there already."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            response: HttpResponse = super().response_add(request, obj, post_url_continue)
            return response
        messages.success(
            request, _("“%(name)s” is there. These are the questions it starts with.") % {"name": obj.label}
        )
        return HttpResponseRedirect(reverse("admin:surveys_instrument_questions", args=[obj.pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        asked = self._asked(request, row) if row is not None else {}
        response: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **asked})
        return response

    def _asked(self, request: HttpRequest, row: Instrument) -> dict[str, Any]:
        """What its newest version asks, its older versions, and where to see them as customers do."""
        language = translation.get_language() or "en"
        current = row.current_version()
        terms = terms_of_version(current) if current else []
        offered = languages_of(request)
        first = match_language(language, offered)
        standard = standard_contact([language])
        return {
            "preview_first": f"{_preview_url(row)}?language={first or offered[0]}",
            "current_version": current,
            "asked": [_told(row, one, terms, language, standard[language]) for one in terms],
            "missing": [language_name(tag) for tag in _missing(row, terms, languages_of(request))],
            "versions": [
                {"version": version, "at": moment(version.created_at), "answers": version.response_count}
                for version in row.versions.annotate(response_count=Count("responses")).order_by("-number")[:20]
            ],
            "previews": [
                {"tag": tag, "name": language_name(tag), "url": f"{_preview_url(row)}?language={tag}"}
                for tag in languages_of(request)
            ],
            "thanks_previews": [
                {"name": label, "url": f"{_preview_url(row)}?thanks={band}"}
                for band, label in {**bands_shown(row), ANY: _("without a score")}.items()
            ],
            "preview_url": _preview_url(row),
            "questions_url": reverse("admin:surveys_instrument_questions", args=[row.pk]),
            "may_edit": self.has_change_permission(request, row),
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/questions/", view(self.questions_view), name="surveys_instrument_questions"),
            path("<int:pk>/preview/", view(self.preview_view), name="surveys_instrument_preview"),
            *super().get_urls(),
        ]

    # --- Questions ----------------------------------------------------------------------------------------------------

    def questions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All questions of the next version on one page; saved together or not at all."""
        row = Instrument.objects.filter(pk=pk).first()
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.missing(request, str(pk))
        current = row.current_version()
        held = terms_of_version(current) if current else []
        form_set = form_set_of(row, held, languages_of(request), request.POST if request.method == "POST" else None)
        wrong: list[str] = []
        if request.method == "POST":
            if request.POST.get("seen") != seen_of(current):
                wrong.append(_("Somebody else changed these questions meanwhile. Open the page again to see theirs."))
            elif form_set.is_valid() and self._publish(request, row, current, form_set, wrong):
                return HttpResponseRedirect(reverse("admin:surveys_instrument_change", args=[row.pk]))
        return self.page(
            request,
            "staff/questions.html",
            title=_("Questions of %(name)s") % {"name": row.label},
            original=row,
            row=row,
            form_set=form_set,
            seen=request.POST.get("seen", seen_of(current)),
            wrong=[*wrong, *form_set.non_form_errors()] if form_set.is_bound else wrong,
            is_frozen=current is not None and current.answered,
            current=current,
            media=self.media + form_set.media,
            status=422 if form_set.is_bound else 200,
        )

    def _publish(
        self,
        request: HttpRequest,
        row: Instrument,
        before: InstrumentVersion | None,
        form_set: QuestionFormSet,
        wrong: list[str],
    ) -> bool:
        """Whether the questions are asked now; faults go to where they belong."""
        asked = terms_in(form_set)
        held = seen_of(before)
        try:
            with transaction.atomic():
                version = publish_version(row, [terms for terms, _form in asked])
                changed = seen_of(version) != held
                if changed:
                    noted(request, row, f"{capfirst(_('questions'))}: {version}")
        except InstrumentError as error:
            for fault in error.faults:
                if 0 <= fault.index < len(asked):
                    form = asked[fault.index][1]
                    form.add_error(fault.field if fault.field in form.fields else None, fault.message)
                else:
                    wrong.append(fault.message)
            return False
        if not changed:
            messages.info(request, _("Nothing was changed."))
        elif before is not None and version.number > before.number:
            messages.success(
                request,
                _("Version %(number)d is asked from now on. Version %(before)d keeps its answers; scores run on.")
                % {"number": version.number, "before": before.number},
            )
        else:
            messages.success(request, _("The questions are saved. Nobody has answered this version yet."))
        return True

    # --- Preview ------------------------------------------------------------------------------------------------------

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form as a customer sees it. GET alone, and sandboxed by its policy wherever it is opened."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        version = self._version(request, pk)
        if "thanks" in request.GET:
            return _preview_thanks(request, version.instrument)
        return _preview(request, version)

    def _version(self, request: HttpRequest, pk: int) -> InstrumentVersion:
        number = request.GET.get("version", "")
        versions = InstrumentVersion.objects.filter(instrument_id=pk).select_related("instrument").order_by("-number")
        if number.isascii() and number.isdigit() and len(number) < 7:
            versions = versions.filter(number=int(number))
        version = versions.first()
        if version is None:
            raise Http404
        return version


@dataclass(frozen=True)
class _Seen:
    """In which language and under which names a preview is shown, as a customer's page would be."""

    organisation: Organisation
    language: str
    say: Phrases
    names: Mapping[str, str]
    fallbacks: Sequence[str]

    @classmethod
    def of(cls, request: HttpRequest, instrument: Instrument) -> "_Seen":
        organisation = _dressed(Organisation.current(), request)
        offered = organisation.languages or ["en"]
        language = match_language(request.GET.get("language", "") or offered[0], offered) or offered[0]
        fallbacks = [organisation.default_language, "en"]
        names = {
            "organisation": pick(organisation.name, language, fallbacks),
            "touchpoint": instrument.name_in(language),
        }
        shown = match_language(language, LANGUAGES) or "en"
        return cls(organisation, language, Phrases(organisation.phrases.get(shown)), names, fallbacks)

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {**self.names, **look_of(self.organisation), "language": self.language, "say": self.say}
        privacy = pick(self.organisation.privacy, self.language)
        with translation.override(match_language(self.language, LANGUAGES) or "en"):
            response = render(request, template, {**shared, "privacy": privacy, "is_preview": True, **context})
        response._csp_replace = PREVIEW_POLICY  # type: ignore[attr-defined]
        return response


@require_safe
@xframe_options_sameorigin
def _preview(request: HttpRequest, version: InstrumentVersion) -> HttpResponse:
    seen = _Seen.of(request, version.instrument)
    with translation.override(match_language(seen.language, LANGUAGES) or "en"):
        wordings = respondent_forms.wordings_of(version)
        questions = respondent_forms.questions_in(wordings, seen.language, seen.fallbacks, seen.names, seen.say)
        questions = respondent_forms.asked_at_most(questions, version.instrument.max_questions)
        respondent_forms.draw(questions, seen.say)
    return seen.page(
        request,
        "respondent/form.html",
        questions=questions,
        tells_optional=any(question.required for question in questions),
        version=version.number,
    )


@require_safe
@xframe_options_sameorigin
def _preview_thanks(request: HttpRequest, instrument: Instrument) -> HttpResponse:
    """What comes after an answer in a band; "any" is what comes without a score."""
    seen, band = _Seen.of(request, instrument), request.GET.get("thanks", "")
    known = bands_of(instrument.metric, instrument.points)[:-1]
    score = instrument.scale.scores_of(band)[0] if band in known else None

    def text_of(texts: Mapping[str, str]) -> str:
        return fill(pick(texts, seen.language, seen.fallbacks), **seen.names)

    with translation.override(match_language(seen.language, LANGUAGES) or "en"):
        told = respondent_forms.thanks_for(instrument, score, seen.say, text_of)
    return seen.page(request, "respondent/thanks.html", change_url="#", **told)


def _dressed(organisation: Organisation, request: HttpRequest) -> Organisation:
    """In the look that a manager is trying and has not saved; what makes no sense is passed over."""
    accent, radius, scheme = (request.GET.get(name, "") for name in ("accent", "radius", "scheme"))
    if colours.is_colour(accent):
        organisation.accent = accent.lower()
    if radius.isascii() and radius.isdigit() and len(radius) < 4 and int(radius) <= RADIUS:
        organisation.radius = int(radius)
    if scheme in Scheme.values:
        organisation.scheme = scheme
    return organisation


def _preview_url(row: Instrument) -> str:
    return reverse("admin:surveys_instrument_preview", args=[row.pk])


def _told(
    row: Instrument, terms: QuestionTerms, all_terms: list[QuestionTerms], language: str, standard: str
) -> dict[str, Any]:
    """One question, as a line of the instrument's page."""
    texts = {one.key: one for one in all_terms}
    conditions = []
    for key, values in terms.show_if.items():
        options: Mapping[str, Any] = texts[key].options if key in texts else {}
        named = [pick(options[str(value)], language) if str(value) in options else str(value) for value in values]
        conditions.append(f"{key}: {', '.join(named)}")
    bands = bands_shown(row)
    return {
        "terms": terms,
        "text": pick(terms.text, language) or standard,
        "display": Display(terms.display).label if terms.display != Display.NUMBERS else "",
        "by_band": [(bands.get(band, band), pick(texts, language)) for band, texts in terms.by_band.items()],
        "kind": scale_word(terms.metric, terms.points) if terms.kind == Kind.SCALE else Kind(terms.kind).label,
        "options": [pick(option, language) or key for key, option in terms.options.items()],
        "conditions": conditions,
    }


def _missing(row: Instrument, terms: list[QuestionTerms], languages: list[str]) -> list[str]:
    texts = [written for _gap, written in texts_of_instrument(row, terms)]
    return [language for language in languages if not all(serves(written, language) for written in texts)]
