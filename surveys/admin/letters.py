"""A rule's letters as customers get them: preview in each language, what is missing, and a test to oneself.

In: rows as last saved; a rule's own texts also as they are typed, which the address carries, signed.

A preview writes and sends nothing. A test goes out by the carrier that all letters take, says that it is one, and leaves no row of
ours: no invitation, nothing that counts for floor or resting; in the local mailbox it is a sent message like any other.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from surveys.admin.languages import places_of
from surveys.admin.letter_texts import LetterField
from surveys.admin.messages import LETTER_POLICY, LINKS_OUTSIDE
from surveys.admin.records import SEES_ANSWERS, SEES_PEOPLE, noted, page_of
from surveys.admin.texts import language_name, languages_of
from surveys.channels import email
from surveys.flow.compose import Personal, domain, script_of, sender_of, write_letter
from surveys.flow.deliver import score_wordings
from surveys.flow.gaps import find_gaps_of_letter
from surveys.flow.links import TRIAL_TOKEN, public_url, trial_query
from surveys.letters import Letter, Outcome
from surveys.models import InvitationRule, Organisation, SentMessage, Wording
from surveys.texts import match_language, pick

CLIPPED_AT = 102 * 1024  # bytes of HTML: Gmail hides what comes after them
DRAFT_MAX, DRAFT_AGE_S = 3000, 86_400  # characters: web servers take an address of 4,000
TESTS_AN_HOUR = 20  # of one member of staff
SAMPLE_NAMES = {"en": "Li Na", "zh-hans": "李娜", "zh-hant": "李娜"}
INVITATION, REMINDER = "invitation", "reminder"
LIGHT, DARK = "light", "dark"


@dataclass(frozen=True)
class Chosen:
    """Which letter a page is about: it is in its address alone."""

    rule: InvitationRule
    organisation: Organisation
    wording: Wording
    language: str
    kind: str = INVITATION
    scheme: str = LIGHT
    is_named: bool = True
    draft: str = ""  # texts that are not saved, as `draft_of` packs them

    @classmethod
    def of(cls, request: HttpRequest, rule: InvitationRule) -> "Chosen | None":
        """None where the rule asks nothing yet."""
        wording = _wording(rule)
        if wording is None:
            return None
        given = request.POST if request.method == "POST" else request.GET
        offered = languages_of(request)
        language = match_language(given.get("language", "")[:20], offered) if given.get("language") else None
        draft = given.get("draft", "")
        typed = texts_of_draft(draft, rule) if draft else None
        if typed is not None:
            rule.letter = typed  # of this row in memory alone
        return cls(
            rule,
            Organisation.current(),
            wording,
            language or offered[0],
            REMINDER if given.get("kind") == REMINDER else INVITATION,
            DARK if given.get("scheme") == DARK else LIGHT,
            given.get("name") != "none",
            draft if typed is not None else "",
        )

    @property
    def query(self) -> str:
        """As an address says it; what is usual is left out."""
        said = {"language": self.language}
        said |= {"kind": REMINDER} if self.kind == REMINDER else {}
        said |= {"scheme": DARK} if self.scheme == DARK else {}
        said |= {} if self.is_named else {"name": "none"}
        said |= {"draft": self.draft} if self.draft else {}
        return urlencode(said)

    def letter(self, address: str = "", *, is_test: bool = False) -> Letter:
        """As it would be written to a customer; a test says that it is one, and its links lead to a form that records nothing."""
        script = script_of(
            self.organisation,
            self.rule.touchpoint,
            self.rule,
            self.wording,
            self.language,
            self.kind == REMINDER,
        )
        to = Personal(
            address=address,
            name=pick(SAMPLE_NAMES, self.language) if self.is_named else "",
            url=public_url(self.rule.touchpoint),
            unsubscribe=f"{settings.BASE_URL}/u/{TRIAL_TOKEN}/",
            token=TRIAL_TOKEN,
            message_id=f"<{TRIAL_TOKEN}.{uuid.uuid4().hex}@{domain()}>",
            query=trial_query(self.rule, self.language),
            is_test=is_test,
        )
        letter = write_letter(script, to)
        return replace(letter, subject=_("Test: %(subject)s") % {"subject": letter.subject}) if is_test else letter


def draft_of(rule: InvitationRule, texts: Any) -> str:
    """A rule's texts for an address; "" where they are too long for one."""
    packed = signing.dumps(texts, salt=_salt(rule), compress=True)
    return packed if len(packed) <= DRAFT_MAX else ""


def texts_of_draft(draft: str, rule: InvitationRule) -> Any:
    """The texts of `draft_of`; None for what we have not signed, or not for this rule, or not today."""
    try:
        return signing.loads(draft[: DRAFT_MAX + 1], salt=_salt(rule), max_age=DRAFT_AGE_S)
    except signing.BadSignature:
        return None


def _salt(rule: InvitationRule) -> str:
    return f"surveys.letter.{rule.pk}"


def _wording(rule: InvitationRule) -> Wording | None:
    instrument = rule.instrument or rule.touchpoint.instrument
    return score_wordings([instrument.pk]).get(instrument.pk) if instrument else None


class TrialForm(forms.Form):
    """Where a test goes. Whoever may not change rules writes to nobody but himself."""

    address = forms.EmailField(max_length=254)

    def __init__(self, *args: Any, own: str, may_type: bool, **kwargs: Any) -> None:
        kwargs["initial"] = {"address": own}
        super().__init__(*args, **kwargs)
        if not may_type:
            self.fields["address"].disabled = True  # then what was posted does not count
        self.fields["address"].widget.attrs |= {"class": "rec-input", "autocomplete": "email"}
        self.fields["address"].label = _("Recipient")


class LetterPages:
    """Mixin of the rules' admin: the page of a rule's letters, and the letter in its frames."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view  # type: ignore[attr-defined]
        own = [
            path("<int:pk>/letter/", view(self.letter_page), name="surveys_invitationrule_letter"),
            path("<int:pk>/letter/shown/", view(self.letter_shown), name="surveys_invitationrule_letter_shown"),
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def letter_shown(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The letter as it looks, for a frame."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        rule = _rule(pk)
        chosen = Chosen.of(request, rule) if rule else None
        if chosen is None:
            raise Http404
        return _shown(request, chosen)

    def letter_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        rule = _rule(pk)
        if rule is None:
            return self.missing(request, str(pk))  # type: ignore[attr-defined, no-any-return]
        may_type = self.has_change_permission(request, rule)  # type: ignore[attr-defined]
        own_address = getattr(request.user, "email", "") or ""
        is_post = request.method == "POST"
        if is_post and "_typed" in request.POST:
            if not may_type:
                raise PermissionDenied
            return _show_typed(request, rule)
        form = TrialForm(request.POST if is_post else None, own=own_address, may_type=may_type)
        chosen = Chosen.of(request, rule)
        if is_post and chosen is not None and form.is_valid():
            _send_test(request, chosen, form.cleaned_data["address"])
            return HttpResponseRedirect(f"{request.path}?{chosen.query}")
        context = _shown_context(request, chosen) if chosen else {}
        response: HttpResponse = self.page(  # type: ignore[attr-defined]
            request,
            "staff/letter.html",
            title=_("Letters of %(rule)s") % {"rule": rule.slug},
            rule=rule,
            original=rule,
            form=form,
            may_edit=may_type,
            can_test=may_type or bool(own_address),
            local=settings.CX_LOCAL_MAILBOX,
            status=422 if is_post else 200,
            **context,
        )
        return response


def _show_typed(request: HttpRequest, rule: InvitationRule) -> HttpResponse:
    """To the page, with the texts as they stand in the rule's form. Nothing is saved."""
    field = LetterField(Organisation.current(), languages_of(request))
    query = ""
    try:
        draft = draft_of(rule, field.clean(field.widget.value_from_datadict(request.POST, request.FILES, "letter")))
        query = f"?{urlencode({'draft': draft})}" if draft else ""
        if not draft:
            messages.error(request, _("These texts are too long to be shown before they are saved."))
    except ValidationError as error:
        messages.error(request, _("Not shown as typed. %(faults)s") % {"faults": " ".join(error.messages)})
    return HttpResponseRedirect(f"{request.path}{query}")


def _rule(pk: int) -> InvitationRule | None:
    rules = InvitationRule.objects.select_related("touchpoint__instrument", "instrument")
    return rules.filter(pk=pk).first()


def _shown_context(request: HttpRequest, chosen: Chosen) -> dict[str, Any]:
    letter = chosen.letter()
    size = len(letter.html.encode())
    frame = reverse("admin:surveys_invitationrule_letter_shown", args=[chosen.rule.pk])
    missing = {
        tag: find_gaps_of_letter(chosen.organisation, chosen.rule, chosen.wording, tag) for tag in languages_of(request)
    }
    gaps = missing.get(chosen.language, [])

    def tabs(name: str, choices: Sequence[tuple[Any, str]]) -> list[dict[str, Any]]:
        return [
            {"label": label, "query": replace(chosen, **{name: value}).query, "current": getattr(chosen, name) == value}
            for value, label in choices
        ]

    languages = tabs("language", [(tag, language_name(tag)) for tag in missing])
    for tab, tag in zip(languages, missing, strict=True):
        tab |= {"tag": tag, "missing": len(missing[tag])}
    return {
        "chosen": chosen,
        "letter": letter,
        "languages": languages,
        "kinds": tabs("kind", [(INVITATION, _("Invitation")), (REMINDER, _("Reminder"))]),
        "schemes": tabs("scheme", [(LIGHT, _("Light")), (DARK, _("Dark"))]),
        "names": tabs("is_named", [(True, _("With a name")), (False, _("Without a name"))]),
        "frame_url": f"{frame}?{chosen.query}",
        "sender_shown": parseaddr(letter.sender)[0] or letter.sender,
        "snippet": _snippet(chosen),
        "size": number_format(size / 1024, 1),
        "is_clipped": size > CLIPPED_AT,
        "gaps": places_of(request, gaps),
        "headers": [
            (_("Sender"), letter.sender),
            (_("Reply to"), letter.reply_to or _("the sender")),
            (_("Subject"), letter.subject),
            *((name, value) for name, value in letter.headers.items() if name == "List-Unsubscribe"),
        ],
    }


def _snippet(chosen: Chosen) -> str:
    """What a list of mails shows after the subject."""
    script = script_of(chosen.organisation, chosen.rule.touchpoint, chosen.rule, chosen.wording, chosen.language, False)
    return str(script.shared["question"])


@require_safe
@xframe_options_sameorigin
def _shown(request: HttpRequest, chosen: Chosen) -> HttpResponse:
    response = HttpResponse(LINKS_OUTSIDE + in_scheme(chosen.letter().html, chosen.scheme))
    response["Referrer-Policy"] = "no-referrer"
    response._csp_replace = LETTER_POLICY  # type: ignore[attr-defined]
    return response


def in_scheme(html: str, scheme: str) -> str:
    """A letter as a program in light or dark shows it, whatever this browser is set to."""
    media = "all" if scheme == DARK else "not all"
    html = html.replace("@media (prefers-color-scheme: dark) {", f"@media {media} {{", 1)
    return html.replace('content="light dark"', f'content="{scheme}"', 2).replace(": light dark;", f": {scheme};", 2)


# --- A test -----------------------------------------------------------------------------------------------------------


def _send_test(request: HttpRequest, chosen: Chosen, address: str) -> None:
    if not may_send_test(request.user.pk or 0):
        messages.error(
            request,
            _("Not sent: %(count)d tests an hour are enough. Please wait a while.") % {"count": TESTS_AN_HOUR},
        )
        return
    letter = chosen.letter(address, is_test=True)
    with email.connect() as carrier:
        outcome: Outcome = carrier.send(letter)
    to_whom = _("to oneself") if address == getattr(request.user, "email", "") else _("to another address")
    noted(request, chosen.rule, _("Test letter, %(to)s: %(result)s") % {"to": to_whom, "result": outcome.result})
    if outcome.in_doubt:
        messages.warning(
            request,
            _("The test was handed over and nothing came back; it may have arrived. %(said)s")
            % {"said": outcome.detail},
        )
    elif outcome.result != "sent":
        messages.error(
            request,
            _("Not sent. The mail server said: %(said)s") % {"said": outcome.detail or outcome.result},
        )
    elif settings.CX_LOCAL_MAILBOX:
        messages.success(request, _kept(request, letter))
    else:
        said = outcome.detail or outcome.reference
        accepted = _("The mail server has accepted the test to %(address)s.") % {"address": address}
        messages.success(request, f"{accepted} {said}".strip())


def _kept(request: HttpRequest, letter: Letter) -> Any:
    """Where the local mailbox has it, for whoever may look there."""
    said = _("No mail server is set: the test to %(address)s is among the sent messages.") % {"address": letter.to}
    row = SentMessage.objects.filter(message_id=letter.message_id).first()
    needs = ("surveys.view_sentmessage", SEES_PEOPLE, SEES_ANSWERS)
    if row is None or not all(request.user.has_perm(label) for label in needs):
        return said
    return format_html('{} <a href="{}">{}</a>', said, page_of(row), _("Open it"))


def may_send_test(user_id: int) -> bool:
    """Counts one more test of this hour; False where there were enough, and where nobody can count."""
    key = f"test-letters-{user_id}"
    try:
        cache.add(key, 0, 3600)
        return bool(cache.incr(key) <= TESTS_AN_HOUR)
    except (RedisError, OSError, ValueError):
        return False


# --- The organisation's page ------------------------------------------------------------------------------------------


def letters_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Whom letters are from in each language, and the rules that send some."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    organisation = Organisation.current()
    sees_rules = request.user.has_perm("surveys.view_invitationrule")
    rules = InvitationRule.objects.select_related("touchpoint__instrument", "instrument").order_by("-active", "slug")
    rows = []
    for rule in rules if sees_rules else []:
        wording = _wording(rule) if email.MODE in rule.modes else None
        if wording is None:
            continue
        gaps = {tag: find_gaps_of_letter(organisation, rule, wording, tag) for tag in languages_of(request)}
        rows.append(
            {
                "rule": rule,
                "missing": [language_name(tag) for tag, found in gaps.items() if found],
                "url": reverse("admin:surveys_invitationrule_letter", args=[rule.pk]),
            }
        )
    response: HttpResponse = model_admin.page(
        request,
        "staff/letters.html",
        title=_("Letters"),
        original=organisation,
        section="letters",
        senders=[(tag, language_name(tag), sender_of(organisation, tag)) for tag in languages_of(request)],
        reply_to=organisation.reply_to,
        may_edit=model_admin.has_change_permission(request, organisation),
        sees_rules=sees_rules,
        rows=rows,
    )
    return response
