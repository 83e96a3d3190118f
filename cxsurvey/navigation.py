"""The staff pages' frame: what stands in the sidebar for whom, and the banner's question. In: a request. Out: plain data for Unfold.

No query: this runs with every page. The overview counts what waits.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from metrics.filters import carried_query

Entry = dict[str, Any]


def _list(title: Any, icon: str, model: str, *needs: str) -> Entry:
    """An entry that leads to a model's list, for those who may see it."""
    app, name = model.split(".")
    permissions = [f"{app}.view_{name}", *needs]
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perms(permissions),
    }


def _measuring(title: Any, icon: str, name: str) -> Entry:
    """An entry that leads to a page on scores and takes this page's filters there."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(name),
        "permission": lambda request: request.user.has_perm("metrics.view_scorecell"),
        "carries": True,
    }


OVERVIEW = _measuring(_("Overview"), "space_dashboard", "admin:index")
JOURNEYS = _measuring(_("Journey scores"), "conversion_path", "journeys")
CHANNELS = _measuring(_("Channels"), "hub", "channels")
TTR = _measuring(_("Time to resolution"), "timer", "ttr")
ALERTS = _measuring(_("Alerts"), "notifications_active", "alerts")
QUALITY = _measuring(_("Data quality"), "fact_check", "quality")
RESPONSE = _measuring(_("Invitations & response"), "filter_alt", "response")
ANSWERS_LIST: Entry = {
    **_measuring(_("Answers"), "reviews", "answers"),
    "permission": lambda request: request.user.has_perm("surveys.view_response"),
    "below": reverse_lazy("admin:surveys_response_changelist"),  # the pages of each
}
WHY: Entry = {
    "title": _("Why?"),
    "icon": "help",
    "link": reverse_lazy("why"),
    "permission": lambda request: request.user.has_perms(["surveys.view_interactionevent", "surveys.view_invitation"]),
}
PEOPLE, ANSWERS = "surveys.view_customer", "surveys.view_response"

SECTIONS: Sequence[tuple[Any, Sequence[Entry]]] = (
    (
        _("Measure"),
        (
            OVERVIEW,
            JOURNEYS,
            CHANNELS,
            TTR,
            RESPONSE,
            _measuring(pgettext_lazy("changes that were decided", "Decisions"), "published_with_changes", "decisions"),
            QUALITY,
            ALERTS,
            ANSWERS_LIST,
            _list(_("Tickets"), "confirmation_number", "surveys.ticket"),
        ),
    ),
    (
        _("Ask"),
        (
            _list(_("Journeys"), "route", "surveys.journey"),
            _list(_("Touchpoints"), "pin_drop", "surveys.touchpoint"),
            _list(_("Instruments"), "quiz", "surveys.instrument"),
            _list(_("Invitation rules"), "rule", "surveys.invitationrule"),
            _list(_("Invitations"), "mail", "surveys.invitation"),
        ),
    ),
    (
        _("People"),
        (
            _list(_("Customers"), "group", "surveys.customer"),
            _list(_("Events"), "bolt", "surveys.interactionevent"),
            WHY,
            _list(_("Suppressions"), "do_not_disturb_on", "surveys.suppression"),
            _list(_("Lifted suppressions"), "undo", "surveys.suppressionlift"),
            _list(_("Consents"), "handshake", "surveys.consent", PEOPLE),
        ),
    ),
    (
        _("What waits"),
        (
            _list(_("Quarantine"), "report", "surveys.quarantinedevent", PEOPLE),
            _list(_("Deliveries"), "outgoing_mail", "surveys.deliveryattempt"),
            _list(_("Bad-news notices"), "campaign", "surveys.watchernotice", ANSWERS),
            _list(_("Sent messages"), "inbox", "surveys.sentmessage", PEOPLE, ANSWERS),
            _list(_("Texts received"), "sms", "surveys.inboundtext", PEOPLE, ANSWERS),
        ),
    ),
    (
        _("Set-up"),
        (
            _list(_("Organisation"), "apartment", "surveys.organisation"),
            _list(_("Alert rules"), "notification_important", "metrics.alertrule"),
            _list(_("Teams"), "diversity_3", "metrics.team"),
            _list(_("API keys"), "key", "surveys.apikey"),
            _list(_("Users"), "person", "auth.user"),
            _list(_("Groups"), "groups", "auth.group"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[Entry]:
    """The sections in which this user may open anything, with those entries alone."""
    shown = []
    for title, entries in SECTIONS:
        own = [entry for entry in entries if entry["permission"](request)]
        if own:
            shown.append({"title": title, "items": [_with_state(entry, request) for entry in own]})
    return shown


def _with_state(entry: Entry, request: HttpRequest) -> Entry:
    link = str(entry["link"])
    is_here: Callable[[str], bool] = request.path.startswith
    active = request.path == link or (entry is not OVERVIEW and is_here(link)) or is_here(str(entry.get("below", "\n")))
    here = active or (entry is OVERVIEW and is_here(f"{link}touchpoints/"))
    return {**entry, "link": link + (carried_query(request) if entry.get("carries") else ""), "active": here}


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the frame of each staff page asks beside Unfold's own."""
    return {"local_mailbox": settings.CX_LOCAL_MAILBOX and not settings.SMS_URL}  # texts do leave
