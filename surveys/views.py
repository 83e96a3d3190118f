"""What customers see: the form, the thank-you page, unsubscribing. No cookie; GET and HEAD record nothing but the first GET's time."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, HttpResponseRedirect, QueryDict
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from surveys import colours, forms
from surveys.flow.follow import Link, follow_token, note_opened
from surveys.flow.links import TRIAL_TOKEN, tried_rule
from surveys.flow.respond import SCORE_KEY, Given, InvitationExpired, Submission, answer_link, record_response
from surveys.flow.suspect import is_scanner
from surveys.flow.unsubscribe import resubscribe, standing_of
from surveys.flow.unsubscribe import unsubscribe as unsubscribe_flow
from surveys.ids import time_ordered_id
from surveys.look import look_of
from surveys.models import (
    Instrument,
    InstrumentVersion,
    Invitation,
    Logo,
    Mode,
    Organisation,
    Response,
    Scope,
    Touchpoint,
)
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import accepted_languages, fill, match_language, pick
from surveys.visitor import address_of

View = Callable[..., HttpResponse]
LOCATION_MAX = 100
LANGUAGE_MAX = 20
KEPT_FOR_GOOD = "public, max-age=31536000, immutable"


def respondent(view: View) -> View:
    """No cookie, no cache, no index, no referrer; the token is the only authority, so no CSRF token either."""

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # What PostgreSQL does not store stands in no address of ours: nobody knows it.
        response = view(request, *args, **{name: forms.storable(value) for name, value in kwargs.items()})
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    return wrapped


@dataclass(slots=True)
class Visit:
    """Who looks at which form, in which language."""

    organisation: Organisation
    touchpoint: Touchpoint
    language: str

    @property
    def names(self) -> dict[str, str]:
        fallbacks = [self.organisation.default_language, "en"]
        return {
            "organisation": pick(self.organisation.name, self.language, fallbacks),
            "touchpoint": pick(self.touchpoint.name, self.language, fallbacks),
        }


def choose_language(request: HttpRequest, organisation: Organisation, *known: str) -> str:
    """The page's own switch, then what is known of the customer, then the browser, then the organisation.

    A form that comes back says which language it was shown in; it is read again in that one.
    """
    offered = organisation.languages or ["en"]
    accepted = accepted_languages(request.headers.get("Accept-Language", ""))
    chosen = (request.POST.get("switch", ""), request.POST.get("language", ""), request.GET.get("lang", ""))
    for wanted in (*chosen, *known, *accepted):
        found = match_language(wanted, offered) if wanted.strip() else None
        if found:
            return found
    return organisation.default_language


def _page(
    request: HttpRequest, template: str, organisation: Organisation, language: str, status: int = 200, **context: Any
) -> HttpResponse:
    """One page with what all of them have: the organisation's name and theme, and the language switch."""
    fallbacks = [organisation.default_language, "en"]
    shared = {
        "organisation": pick(organisation.name, language, fallbacks),
        **look_of(organisation),
        "language": language,
        "say": _say(organisation),
        "languages": _switch(request, organisation, language) if request.method != "POST" or template == "form" else [],
        "test": _is_test(request),
    }
    return render(request, f"respondent/{template}.html", {**shared, **context}, status=status)


def polite(
    request: HttpRequest, organisation: Organisation, language: str, status: int, title: str, text: str
) -> HttpResponse:
    return _page(request, "notice", organisation, language, status, title=title, text=text)


def _shown(language: str) -> str:
    """The language of phrases for a page in `language`."""
    return match_language(language, LANGUAGES) or "en"


def _say(organisation: Organisation) -> Phrases:
    """The phrases of the language that is active."""
    return Phrases(organisation.phrases.get(translation.get_language() or "en"))


@respondent
@require_http_methods(["GET", "HEAD", "POST"])
def invited(request: HttpRequest, token: str) -> HttpResponse:
    """/s/{token}/: the form of an invited customer."""
    if request.method == "POST" and "switch" not in request.POST and (press := _answered_at_once(request, token)):
        return _taken(request, press, {"lang": request.POST.get("language", "")})
    link = follow_token(token, _version_id(request))
    organisation = link.organisation if link else Organisation.current()
    _remember_zone(organisation)
    language = choose_language(request, organisation, link.invitation.language if link else "")
    now = timezone.now()
    with translation.override(_shown(language)):
        if link is None:
            return _unknown(request, organisation, language)
        invitation, version = link.invitation, link.version
        visit = Visit(organisation, invitation.touchpoint, language)
        is_closed = link.is_closed(now)
        if request.method == "GET" and not is_closed:
            note_opened(invitation, now)

        def submission(answers: list[Given], press: forms.Press) -> Submission:
            return forms.submission_of_link(link, answers, language, press)

        if is_closed:
            page = _expired(request, organisation, language)
        elif request.method == "POST":
            page = _submit(request, visit, version, submission)
        elif "done" in request.GET and link.response is not None:
            page = _thanks(request, visit, version.instrument_id, link.response)
        else:
            page = _form_of_link(request, visit, link)
        return _may_be_framed(request, page, visit.touchpoint) if invitation.mode == Mode.WEB else page


@respondent
@require_http_methods(["GET", "HEAD", "POST"])
def public(request: HttpRequest, public_key: str) -> HttpResponse:
    """/t/{public_key}/: a touchpoint's open form."""
    organisation = Organisation.current()
    touchpoint = Touchpoint.objects.select_related("instrument").filter(public_key=public_key).first()
    language = choose_language(request, organisation)
    with translation.override(_shown(language)):
        instrument_id = _asked_with(request, touchpoint)
        if touchpoint is None or instrument_id is None:
            return _unknown(request, organisation, language)
        visit = Visit(organisation, touchpoint, language)
        version = _version(request, instrument_id)
        form_id = _uuid(request.POST.get("form") or request.GET.get("form"))
        response = Response.objects.filter(client_id=form_id, touchpoint=touchpoint).first() if form_id else None
        if request.method != "POST":
            if "done" in request.GET and (response is not None or _is_test(request)):
                page = _thanks(request, visit, instrument_id, response)
            else:
                page = _form(
                    request, visit, version, response=response, form_id=form_id or time_ordered_id(timezone.now())
                )
        else:
            via = request.GET.get("via", "")

            def submission(answers: list[Given], press: forms.Press) -> Submission:
                return forms.submission_of_open_form(
                    touchpoint,
                    version,
                    answers,
                    organisation=organisation,
                    form_id=form_id or time_ordered_id(timezone.now()),
                    via=via,
                    location=forms.storable(request.GET.get("loc", ""))[:LOCATION_MAX],
                    language=language,
                    press=press,
                )

            page = _submit(request, visit, version, submission, form_id=form_id or time_ordered_id(timezone.now()))
        return _may_be_framed(request, page, touchpoint)


def _asked_with(request: HttpRequest, touchpoint: Touchpoint | None) -> int | None:
    """The instrument of an open form; of a rule that staff try, its own, whether the form is open or not. None: there is nothing."""
    if touchpoint is None:
        return None
    trial = request.GET.get("trial", "") if _is_test(request) else ""
    rule = tried_rule(trial, touchpoint) if trial else None
    if rule is not None:
        return rule.instrument_id or touchpoint.instrument_id
    return touchpoint.instrument_id if touchpoint.public and touchpoint.active else None


def _framers(request: HttpRequest, touchpoint: Touchpoint) -> list[str]:
    """The touchpoint's allowed origins; for a test our own as well, where the manager's preview stands."""
    own = [f"{request.scheme}://{request.get_host()}"] if _is_test(request) else []
    return [*touchpoint.allowed_origins, *own]


def _may_be_framed(request: HttpRequest, page: HttpResponse, touchpoint: Touchpoint) -> HttpResponse:
    """By pages of the touchpoint's allowed origins, and by nobody else's."""
    page._csp_replace = {"frame-ancestors": _framers(request, touchpoint) or ["'none'"]}  # type: ignore[attr-defined,unused-ignore]
    page.xframe_options_exempt = True  # type: ignore[attr-defined,unused-ignore]
    return page


def _frame(request: HttpRequest, visit: Visit) -> dict[str, Any]:
    """What `frame.js` needs to talk to the page or the app around the form; nothing where nobody asked for it."""
    if request.GET.get("via") != "web" and "origin" not in request.GET:
        return {}
    return {"framed": True, "key": visit.touchpoint.public_key, "origins": _framers(request, visit.touchpoint)}


def _submit(
    request: HttpRequest,
    visit: Visit,
    version: InstrumentVersion,
    submission: Callable[[list[Given], forms.Press], Submission],
    form_id: uuid.UUID | None = None,
) -> HttpResponse:
    wordings = forms.wordings_of(version)
    values = forms.posted_values(wordings, request.POST)
    if "switch" in request.POST:  # another language, and what was typed stays
        return _form(request, visit, version, values=values, form_id=form_id)
    press = _press(request)
    checked = forms.check(
        wordings, values, _say(visit.organisation), complete=press.complete, most=version.instrument.max_questions
    )
    if checked.errors and not press.complete:
        return HttpResponse(status=422)  # nothing that could be kept; the page goes on by itself
    if checked.errors:
        return _form(request, visit, version, values=values, errors=checked.errors, form_id=form_id, status=422)
    query = {"lang": visit.language}
    if _is_test(request):
        score = next((given.score for given in checked.answers if given.question.key == SCORE_KEY), None)
        return _taken(request, press, query | ({} if score is None else {"score": str(score)}))
    try:
        recorded = record_response(submission(checked.answers, press), timezone.now())
    except InvitationExpired:
        return _expired(request, visit.organisation, visit.language)
    if recorded.response.invitation_id is None:
        query |= {"form": str(recorded.response.client_id)}
    return _taken(request, press, query)


def _press(request: HttpRequest) -> forms.Press:
    return forms.posted_press(request.POST, is_scanner(address_of(request)))


def _taken(request: HttpRequest, press: forms.Press, query: Mapping[str, str]) -> HttpResponse:
    """After "Send" the thank-you page; the page that has recorded a touch by itself stays where it is."""
    if not press.complete:
        return HttpResponse(status=204)
    return HttpResponseRedirect(f"{request.path}?{urlencode({'done': '1', **query, **_kept(request)})}", status=303)


def _is_test(request: HttpRequest) -> bool:
    """A manager tries an open form: it looks and goes as ever, and records nothing."""
    match = request.resolver_match
    return request.GET.get("test") == "1" and match is not None and match.url_name == "public"


def _kept(request: HttpRequest) -> dict[str, str]:
    """How and where somebody came here: every address of the same visit says it again."""
    return {name: request.GET[name] for name in ("via", "loc", "origin", "test", "trial") if name in request.GET}


_zone = ""  # the organisation's, as last seen; `answer_link` checks it


def _remember_zone(organisation: Organisation) -> None:
    global _zone
    _zone = organisation.time_zone


def _answered_at_once(request: HttpRequest, token: str) -> forms.Press | None:
    """How it was sent, if this was the first answer to an open link, and is recorded now: most are, and go a shorter way.

    What does not pass here may still be right: how many questions are asked at most is known on the long way only.
    """
    version_id = _version_id(request)
    wordings = forms.frozen_wordings(version_id)
    if wordings is None or not _zone:
        return None
    press = _press(request)
    checked = forms.check(wordings, forms.posted_values(wordings, request.POST), complete=press.complete)
    if checked.errors or not press.is_plain:
        return None
    recorded = answer_link(
        token,
        version_id,
        checked.answers,
        forms.storable(request.POST.get("language", "")[:LANGUAGE_MAX]),
        _zone,
        timezone.now(),
        complete=press.complete,
        edit=press.edit,
        privacy_notice_id=press.privacy_notice_id,
    )
    return press if recorded else None


def _version_id(request: HttpRequest) -> int:
    """The version that a posted form carries, so that its answer is held against what was shown; 0 for none."""
    number = request.POST.get("version", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0


def _version(request: HttpRequest, instrument_id: int) -> InstrumentVersion:
    """The version that the form carried, else the newest."""
    versions = InstrumentVersion.objects.select_related("instrument").filter(instrument_id=instrument_id)
    versions = versions.order_by("-number")
    return versions.filter(pk=_version_id(request)).first() or versions[0]


def _form(
    request: HttpRequest,
    visit: Visit,
    version: InstrumentVersion,
    *,
    response: Response | None = None,
    values: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    form_id: uuid.UUID | None = None,
    status: int = 200,
) -> HttpResponse:
    wordings = forms.wordings_of(version)
    fallbacks = [visit.organisation.default_language, "en"]
    questions = forms.questions_in(wordings, visit.language, fallbacks, visit.names, _say(visit.organisation))
    if values is None:
        values = forms.earlier_values(list(response.answers.select_related("question"))) if response else {}
        score, first = _whole(request.GET.get("score", "")), questions[0]
        if score in first.scores:
            values = {**values, first.key: score}  # preselected, never recorded by looking
    most = version.instrument.max_questions
    questions = forms.asked_at_most(questions, most)
    forms.draw(questions, _say(visit.organisation))
    script = _for_script(questions, _say(visit.organisation), most)
    for question in questions:
        question.text = question.text_for(values.get(SCORE_KEY))
        value = values.get(question.key)
        # One picked key is a list of one: a key may be a part of another.
        question.value = [value] if question.options and isinstance(value, str) else value
        question.error = (errors or {}).get(question.key, "")
    return _page(
        request,
        "form",
        visit.organisation,
        visit.language,
        status,
        questions=questions,
        errors=[question for question in questions if question.error],
        # Where nothing must be answered, saying so at every question is noise.
        tells_optional=any(question.required for question in questions),
        version=version.pk,
        script=script,
        keeps=request.method == "POST",  # what was typed, when the language is switched
        privacy_id=visit.organisation.privacy_notice_id,
        form_id=form_id,
        privacy=pick(visit.organisation.privacy, visit.language),
        **_frame(request, visit),
    )


# Forms as they were rendered, for all who are asked the same in the same words: rendering is most of what showing one costs.
_rendered: dict[tuple[Any, ...], bytes] = {}
RENDERED_MAX = 200
NOW = b'"now": '


def _form_of_link(request: HttpRequest, visit: Visit, link: Link) -> HttpResponse:
    """An invited customer's form. Until there is an answer nothing on it is of one customer alone, but the time it was shown."""
    version = link.version
    if link.response is not None or not version.answered or request.GET.keys() - {"lang", "score"}:
        return _form(request, visit, version, response=link.response)
    key = (link.asks, visit.language, request.META.get("QUERY_STRING", ""))
    found = _rendered.get(key)
    if found is None:
        page = _form(request, visit, version)
        if len(_rendered) >= RENDERED_MAX:
            _rendered.clear()
        _rendered[key] = page.content
        return page
    before, _, after = found.partition(NOW)
    return HttpResponse(b"%s%s%d%s" % (before, NOW, _now_ms(), after.lstrip(b"0123456789")))


def _now_ms() -> int:
    return int(timezone.now().timestamp() * 1000)


def _for_script(questions: Sequence[forms.Asked], say: Phrases, most: int) -> dict[str, Any]:
    """What form.js is told: our clock, what follows a score, and the phrases that it says."""
    return {
        "now": _now_ms(),
        "most": most,
        "bands": {question.key: [question.text, *question.by_band] for question in questions if question.by_band},
        "say": {key: say[key] for key in ("sending", "saved", "restored", "offline", "retry")},
        "revealed": [say.fill("revealed", count=count) for count in range(1, len(questions))],
    }


def _switch(request: HttpRequest, organisation: Organisation, language: str) -> list[dict[str, Any]]:
    """Links to the same page in the organisation's other languages."""
    links = []
    for code in organisation.languages:
        query = request.GET.copy()
        query["lang"] = code
        links.append(
            {"code": code, "name": _own_name(code), "url": f"?{query.urlencode()}", "current": code == language}
        )
    return links if len(links) > 1 else []


def _own_name(code: str) -> str:
    """What a language calls itself; its tag where Django does not know it."""
    try:
        return str(translation.get_language_info(code)["name_local"])
    except KeyError:
        return code


def _thanks(request: HttpRequest, visit: Visit, instrument_id: int, response: Response | None) -> HttpResponse:
    """By the band of the score: the manager's own words, else ours. The share link is the same for everyone."""
    instrument = Instrument.objects.only("metric", "points", "thanks", "share").get(pk=instrument_id)
    fallbacks = [visit.organisation.default_language, "en"]
    query = {"lang": visit.language, **_kept(request)}
    if response is not None and response.invitation_id is None:
        query["form"] = str(response.client_id)
    score = _whole(request.GET.get("score", "")) if response is None else response.score
    return _page(
        request,
        "thanks",
        visit.organisation,
        visit.language,
        change_url=f"{request.path}?{urlencode(query)}",
        **_frame(request, visit),
        **forms.thanks_for(
            instrument,
            score,
            _say(visit.organisation),
            lambda texts: fill(pick(texts, visit.language, fallbacks), **visit.names),
        ),
    )


def _whole(text: str) -> int | None:
    """A score out of an address."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else None


def _unknown(request: HttpRequest, organisation: Organisation, language: str) -> HttpResponse:
    say = _say(organisation)
    return polite(request, organisation, language, 404, say["unknown"], say["unknown_text"])


def _expired(request: HttpRequest, organisation: Organisation, language: str) -> HttpResponse:
    say = _say(organisation)
    return polite(request, organisation, language, 410, say["expired"], say["expired_text"])


def _uuid(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text or "")
    except ValueError:
        return None


@respondent
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """/u/{token}/: GET shows what stands, POST (RFC 8058's one click, or the page's buttons) changes it; twice is the same as once.

    Whatever became of the invitation, and whatever the body looks like: whoever posts here wants no more.
    """
    posted = _posted(request)
    organisation = Organisation.current()
    if token == TRIAL_TOKEN:  # of a letter that staff sent themselves
        language = choose_language(request, organisation)
        with translation.override(_shown(language)):
            say = _say(organisation)
            return polite(request, organisation, language, 200, say["unsubscribe_title"], say["test"])
    invitation = Invitation.objects.select_related("touchpoint").filter(token=token).first()
    language = choose_language(request, organisation, invitation.language if invitation else "")
    with translation.override(_shown(language)):
        if invitation is None:
            return _unknown(request, organisation, language)
        say = _say(organisation)
        touchpoint = Visit(organisation, invitation.touchpoint, language).names["touchpoint"]
        choices = {
            str(Scope.THIS_SURVEY): say.fill("unsubscribe_this", touchpoint=touchpoint),
            str(Scope.ALL_SURVEYS): say["unsubscribe_surveys"],
            str(Scope.ALL_MESSAGES): say["unsubscribe_messages"],
        }
        if request.method == "POST" and "undo" in posted:
            resubscribe(invitation, timezone.now(), wording=say["resubscribe"])
        elif request.method == "POST":
            scope = posted.get("scope", "")
            chosen = scope if scope in choices else str(Scope.ALL_SURVEYS)
            # Of the one click we do not know what was read.
            wording = f"{say['unsubscribe_title']} {choices[chosen]}" if scope in choices else ONE_CLICK
            unsubscribe_flow(invitation, timezone.now(), chosen, wording=wording)
        standing = standing_of(invitation)
        if request.method == "POST" and "undo" in posted and not standing.scope:
            return polite(request, organisation, language, 200, say["thanks"], say["sms_started"])
        if not standing.scope and request.method == "POST":  # nobody is left whom we could write to
            return polite(request, organisation, language, 200, say["unsubscribed"], say["unsubscribed_text"])
        told = {
            str(Scope.THIS_SURVEY): say.fill("unsubscribed_this_text", touchpoint=touchpoint),
            str(Scope.ALL_SURVEYS): say["unsubscribed_text"],
            str(Scope.ALL_MESSAGES): say["unsubscribed_messages_text"],
        }
        wider = list(choices)[list(choices).index(standing.scope) + 1 :] if standing.scope else list(choices)
        return _page(
            request,
            "unsubscribe",
            organisation,
            language,
            standing=standing,
            told=told.get(standing.scope, ""),
            choices=[(scope, choices[scope]) for scope in wider],
            chosen=str(Scope.ALL_SURVEYS),
            start=say.fill("sms_start", word="START") if standing.by_text else "",
        )


ONE_CLICK = "List-Unsubscribe=One-Click"


def _posted(request: HttpRequest) -> QueryDict:
    """The fields of a body; none where it is no form, or a broken one."""
    try:
        return request.POST
    except (BadRequest, MultiPartParserError, SuspiciousOperation):
        request.POST = QueryDict()  # type: ignore[assignment,unused-ignore]
        return request.POST


@require_http_methods(["GET", "HEAD"])
def theme(request: HttpRequest, name: str) -> HttpResponse:
    """/theme/{rrggbb}-{radius}-{scheme}-{digest}.css: the organisation's own look. A file, since pages allow no inline style."""
    accent, radius, scheme, _digest = name.split("-")
    own = (f"#{accent}", int(radius), scheme)
    response = HttpResponse(colours.stylesheet(*own), content_type="text/css; charset=utf-8")
    # Another release may make another sheet of the same colours: while both run, neither may be kept under the other's name.
    response["Cache-Control"] = KEPT_FOR_GOOD if name == colours.stylesheet_name(*own) else "no-cache"
    return response


@require_http_methods(["GET", "HEAD"])
def logo(request: HttpRequest, digest: str) -> HttpResponse:
    """/logo/{digest}: a manager's picture. Opened by itself it is a document, and may do nothing but be seen."""
    found = Logo.objects.filter(pk=digest).first()
    if found is None:
        return HttpResponseNotFound()
    response = HttpResponse(bytes(found.data), content_type=found.content_type)
    response["Cache-Control"] = KEPT_FOR_GOOD
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


@respondent
@require_http_methods(["GET", "HEAD"])
def home(request: HttpRequest) -> HttpResponse:
    """The bare address leads staff to their pages."""
    return HttpResponseRedirect(reverse("admin:index"))
