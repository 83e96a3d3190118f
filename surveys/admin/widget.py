"""The pages that bring a touchpoint's form to other sites: the snippet, a preview, the sites that may, and the identity secret.

In: what a manager chooses; it is in the address alone, and nothing of it is stored. Out: HTML to copy, and a page of our own that shows
what it does in test mode, where nothing is recorded or counted. The secret is shown to those who may see it, and stands in no history.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys.admin.configuration import ConfigAdmin
from surveys.admin.records import moment, noted
from surveys.admin.texts import language_name, languages_of
from surveys.flow.identify import FormerStands, drop_former_secret, renew_secret
from surveys.flow.links import embed_snippet, public_url, script_snippet
from surveys.models import IdentitySecret, Organisation, Touchpoint

SEES_SECRET, CHANGES_SECRET = "surveys.view_identitysecret", "surveys.change_identitysecret"
DAYS = 30  # embed.js has it: how long a popup that was shown or put off stays away unless told otherwise
SAMPLE_BUTTON = "#give-feedback"  # of the sample page, in place of whatever the site has
SIGNING = settings.BASE_DIR / "templates/staff/signing"

POPUP, TAB, INLINE, IFRAME, CODE = "popup", "tab", "inline", "iframe", "code"
WAYS = (
    (POPUP, gettext_lazy("Popup")),
    (TAB, gettext_lazy("Side tab")),
    (INLINE, gettext_lazy("Inline, as a part of the page")),
    (IFRAME, gettext_lazy("Plain frame, without a script")),
    (CODE, gettext_lazy("From your code")),
)
TRIGGERS = (
    ("now", gettext_lazy("At once")),
    ("delay", gettext_lazy("After a while")),
    ("scroll", gettext_lazy("When this much was scrolled")),
    ("exit", gettext_lazy("When the visitor is about to leave")),
    ("click", gettext_lazy("At a click on something")),
)
# Which fields belong to which ways; those of a trigger belong to ways that have it.
FIELDS: Mapping[str, frozenset[str]] = {
    "trigger": frozenset({POPUP, TAB}),
    "target": frozenset({INLINE}),
    "label": frozenset({TAB}),
    "url": frozenset({POPUP, TAB, INLINE}),
    "sample": frozenset({POPUP, TAB, CODE}),
    "cap_times": frozenset({POPUP}),
    "cap_days": frozenset({POPUP}),
    "rest_days": frozenset({POPUP}),
    "lang": frozenset({POPUP, TAB, INLINE, IFRAME, CODE}),
    "debug": frozenset({POPUP, TAB, INLINE, CODE}),
}
OF_TRIGGER = {"delay": "delay", "scroll": "scroll", "selector": "click"}
ASKING = ("now", "delay", "scroll", "exit")  # triggers by which a popup comes unasked


def _number(label: Any, low: int, high: int, initial: int, **options: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=low, max_value=high, initial=initial, **options)


def _line(label: Any, help_text: Any = "", example: str = "", **options: Any) -> forms.CharField:
    widget = forms.TextInput({"placeholder": example, "spellcheck": "false", "autocomplete": "off"})
    return forms.CharField(label=label, help_text=help_text, widget=widget, required=False, max_length=300, **options)


class WidgetForm(forms.Form):
    """The choices of a snippet. Bound to the address; what is missing there has its initial value."""

    way = forms.ChoiceField(label=gettext_lazy("Way"), choices=WAYS, initial=POPUP)
    trigger = forms.ChoiceField(label=gettext_lazy("When it comes"), choices=TRIGGERS, initial="now")
    delay = _number(gettext_lazy("Seconds"), 1, 3600, 10)
    scroll = _number(gettext_lazy("Percent of the page"), 1, 100, 50)
    selector = _line(gettext_lazy("CSS selector of what is clicked"), example="#feedback", initial="#feedback")
    target = _line(
        gettext_lazy("CSS selector of its place"), gettext_lazy("Empty: where the script stands."), "#survey"
    )
    label = _line(gettext_lazy("Text of the tab"), gettext_lazy("Empty: “Feedback”, in the language of the page."))
    url = _line(
        gettext_lazy("Pages"),
        gettext_lazy(
            "Paths with * for anything, with a space in between; with ! the pages where not. Empty: everywhere."
        ),
        "/orders/* !/orders/new",
    )
    sample = _number(gettext_lazy("Percent of visitors"), 1, 100, 100)
    cap_times = _number(
        gettext_lazy("Times at most"), 1, 99, 1, required=False, help_text=gettext_lazy("Empty: no limit.")
    )
    cap_days = _number(gettext_lazy("in so many days"), 1, 366, DAYS)
    rest_days = _number(
        gettext_lazy("Days of rest after “not now”"), 1, 366, DAYS, required=False,
        help_text=gettext_lazy("Empty: none."),
    )  # fmt: skip
    lang = forms.ChoiceField(label=gettext_lazy("Language"), required=False)
    debug = forms.BooleanField(label=gettext_lazy("Say on the page why it is or is not shown"), required=False)

    def __init__(self, request: HttpRequest) -> None:
        given = request.GET.dict()
        initial = {name: field.initial for name, field in self.base_fields.items() if field.initial is not None}
        # A form that was sent says of a box that it is empty by not naming it, and of a field by an empty text.
        super().__init__({**initial, **given} if "way" in given else initial)
        self.fields["lang"].choices = [  # type: ignore[attr-defined]
            ("", _("The page’s own")), *((tag, language_name(tag)) for tag in languages_of(request))
        ]  # fmt: skip
        for name, field in self.fields.items():
            if not isinstance(field.widget, forms.CheckboxInput):
                field.widget.attrs["class"] = "rec-input"
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"help-{name}"

    @property
    def way_chosen(self) -> str:
        way = self.data.get("way")
        return way if way in dict(WAYS) else POPUP

    def is_used(self, name: str) -> bool:
        """Whether a field says anything for the way and the trigger that are chosen."""
        way, trigger = self.way_chosen, self.data.get("trigger")
        if name in OF_TRIGGER:
            return way in FIELDS["trigger"] and trigger == OF_TRIGGER[name]
        if name in ("cap_times", "cap_days", "rest_days"):
            return way == POPUP and trigger in ASKING
        return way in FIELDS.get(name, {way})

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "field": field,
                "name": field.name,
                "used": self.is_used(field.name),
                "is_box": field.name == "debug",
                "is_half": field.name in ("cap_times", "cap_days"),
            }
            for field in self
        ]

    def full_clean(self) -> None:
        """What is not used is not wrong either."""
        super().full_clean()
        for name in [name for name in self.errors if not self.is_used(name)]:
            del self.errors[name]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.is_used("selector") and not cleaned.get("selector"):
            self.add_error("selector", _("Name what is clicked, such as #feedback."))
        return cleaned

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Those of the script tag that say something else than its defaults. Of a form without errors."""
        chosen = {name: value for name, value in self.cleaned_data.items() if self.is_used(name)}
        way = chosen["way"]
        found: dict[str, str] = {}
        if way == CODE:
            found["trigger"] = CODE
        elif way != POPUP:
            found["way"] = way
        trigger = chosen.get("trigger", "now")
        if trigger != "now":
            detail = chosen.get({"delay": "delay", "scroll": "scroll", "click": "selector"}.get(trigger, ""))
            found["trigger"] = trigger if detail is None else f"{trigger}:{detail}"
        for name in ("target", "label", "url"):
            if chosen.get(name):
                found[name] = chosen[name]
        if chosen.get("sample", 100) != 100:
            found["sample"] = f"{chosen['sample'] / 100:g}"
        if "cap_days" in chosen and (chosen["cap_times"], chosen["cap_days"]) != (1, DAYS):
            found["cap"] = f"{chosen['cap_times']}/{chosen['cap_days']}d" if chosen["cap_times"] else ""
        if "rest_days" in chosen and chosen["rest_days"] != DAYS:
            found["rest"] = f"{chosen['rest_days']}d" if chosen["rest_days"] else ""
        if chosen.get("lang"):
            found["lang"] = chosen["lang"]
        if chosen.get("debug"):
            found["debug"] = ""
        return found

    def snippet(self, touchpoint: Touchpoint) -> SafeString:
        """HTML to copy, as it stands in the site's page."""
        if self.way_chosen == IFRAME:
            return embed_snippet(touchpoint, self.cleaned_data["lang"])
        tag = script_snippet(touchpoint, self.attributes)
        return tag + SHOW if self.way_chosen == CODE else tag


SHOW = SafeString("""
<script>
  window.cx = window.cx || function () { (cx.q = cx.q || []).push(arguments); };
  // Wherever your code wants to ask:
  cx("show");
</script>""")
IDENTIFY = SafeString("""<script>
  window.cx = window.cx || function () { (cx.q = cx.q || []).push(arguments); };
  cx("identify", "TOKEN");
</script>""")


class WidgetPages(ConfigAdmin):
    """What the admin of touchpoints has beside its lists and forms."""

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("", self.widget_view, ""),
            ("sample/", self.sample_view, "_sample"),
            ("secret/", self.secret_view, "_secret"),
        )
        return [
            *(
                path(
                    f"<path:object_id>/widget/{end}",
                    self.admin_site.admin_view(view),
                    name=f"surveys_touchpoint_widget{name}",
                )
                for end, view, name in pages
            ),
            *super().get_urls(),
        ]

    def widget_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The snippet of each way with its choices, a preview, who may show it, and how customers are known."""
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.missing(request, object_id)
        form = WidgetForm(request)
        is_whole = form.is_valid()
        may_change = self.has_change_permission(request, row)
        context = {
            "title": _("Widget · %(name)s") % {"name": row.label},
            "row": row,
            "original": row,
            "form": form,
            "snippet": form.snippet(row) if is_whole else "",
            "is_open": row.public and row.active and row.instrument_id is not None,
            "sample_query": urlencode({**form.data}) if is_whole else "",
            "test_url": f"{public_url(row, 'web')}&test=1",
            "origins_url": reverse("admin:surveys_touchpoint_change", args=[row.pk]) + "#id_allowed_origins"
            if may_change
            else "",
            "identify": IDENTIFY,
            "languages": [(name, SIGNING_NAMES[name], (SIGNING / f"{name}.txt").read_text()) for name in SIGNING_NAMES],
            **self._secrets(request),
        }
        response = self.page(request, "staff/widget.html", **context)
        response["Cache-Control"] = "no-store"
        return response

    def _secrets(self, request: HttpRequest) -> dict[str, Any]:
        """The organisation's secrets, for those who may see them: not even read for others."""
        if not request.user.has_perm(SEES_SECRET):
            return {"sees_secret": False}
        held = list(IdentitySecret.objects.all())
        return {
            "sees_secret": True,
            "changes_secret": request.user.has_perm(CHANGES_SECRET),
            "secret": held[0] if held else None,
            "former": held[1] if len(held) > 1 else None,
            "used": [moment(secret.used_at) for secret in held],
        }

    def sample_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page as a site might have it, with the widget in test mode. Shown in a frame of ours alone."""
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.missing(request, object_id)
        form = WidgetForm(request)
        way = form.way_chosen
        attributes: dict[str, str] = {}
        if form.is_valid():
            # Our page has an address of its own, and only this one button.
            attributes = {
                name: value for name, value in form.attributes.items() if name not in ("url", "target", "sample")
            }
            if attributes.get("trigger", "").startswith("click:"):
                attributes["trigger"] = f"click:{SAMPLE_BUTTON}"
        address = reverse("public", args=[row.public_key])
        context = {
            "row": row,
            "way": way,
            "tag": script_snippet(row, {**attributes, "test": ""}, base="") if way != IFRAME else "",
            "frame": f"{address}?{urlencode({'via': 'web', 'test': '1', 'lang': form.data.get('lang') or ''})}",
            "button": form.way_chosen == CODE or attributes.get("trigger", "").startswith("click:"),
        }
        response = TemplateResponse(request, "staff/widget_sample.html", context)
        response["X-Frame-Options"] = "SAMEORIGIN"
        response["Cache-Control"] = "no-store"
        return response

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """POST `do`: renew makes a new secret beside the present one, drop ends the former one. Both stand in the history."""
        row = self.get_object(request, object_id)
        if not (self.has_view_permission(request, row) and request.user.has_perms([SEES_SECRET, CHANGES_SECRET])):
            raise PermissionDenied
        if row is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        wanted = request.POST.get("do")
        if wanted == "renew":
            self._renew(request)
        elif wanted == "drop" and drop_former_secret():
            noted(request, Organisation.current(), _("Former identity secret dropped."))
            messages.success(request, _("The former secret is dropped. What it signs is not believed any more."))
        return HttpResponseRedirect(reverse("admin:surveys_touchpoint_widget", args=[row.pk]) + "#identity")

    def _renew(self, request: HttpRequest) -> None:
        try:
            renew_secret(timezone.now())
        except FormerStands:
            messages.error(request, _("Drop the former secret first: two are valid already."))
            return
        noted(request, Organisation.current(), _("Identity secret made."))
        if IdentitySecret.objects.count() > 1:
            messages.success(request, _("There is a new secret. The former one stays valid until you drop it."))
        else:
            messages.success(request, _("There is a secret now. Give it to your site’s server."))


SIGNING_NAMES = {"python": "Python", "node": "Node.js", "php": "PHP"}
