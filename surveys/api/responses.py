"""POST and GET /api/v1/responses/, GET responses/{id}/, GET instruments/{slug}/: for apps that ask by themselves."""

import hashlib
import json
import uuid
from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone, translation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from msgspec import UNSET, Meta, Struct, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response as Answered
from rest_framework.utils.urls import replace_query_param

from surveys.api.base import (
    JSON,
    CxView,
    FieldError,
    Problem,
    escape_pointer,
    filter_faults,
    page_size,
    read_day,
    read_json,
)
from surveys.api.documents import (
    ANSWERS,
    CUSTOMER,
    MOMENT,
    MOMENT_OR_NULL,
    NAME,
    TEXT,
    page_of,
    problems,
)
from surveys.flow.customers import upsert_customer
from surveys.flow.incoming import InputError, pointed, read_profile, read_time, refuse_unstorable, shaped_customer
from surveys.flow.respond import BodyConflict, Submission, record_response
from surveys.flow.search import Asked, Place, find_responses
from surveys.forms import (
    FACTS_COUNT,
    REFERENCE_MAX,
    check,
    is_fact,
    questions_in,
    thanks_for,
    wordings_of,
)
from surveys.models import Channel, Customer, Instrument, InstrumentVersion, Mode, Organisation, Response, Touchpoint
from surveys.models.instruments import Display, Kind, Metric
from surveys.phrases import LANGUAGES, Phrases
from surveys.terms import MAX_QUERY, read_query
from surveys.texts import fill, match_language, normalise_tag, pick, picked_language

_SCORE = {"type": "integer"}
FACTS = {
    "type": "object",
    "description": f"What the page or app says of itself: at most {FACTS_COUNT} texts, numbers, flags or nulls.",
    "maxProperties": FACTS_COUNT,
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
RESPONSE_IN_SCHEMA = {
    "type": "object",
    "required": ["id", "touchpoint", "answers"],
    "additionalProperties": False,
    "properties": {
        "id": {
            "type": "string",
            "format": "uuid",
            "description": "Made by the client: the same again is the same answer.",
        },
        "touchpoint": {"type": "string", "description": "A slug."},
        "instrument": {"type": ["string", "null"], "description": "A slug; the touchpoint's where it is left out."},
        "mode": {"type": "string", "enum": list(Mode.values), "default": "app"},
        "language": {"type": "string", "maxLength": 20, "description": "BCP 47, such as zh-hans."},
        "location": NAME,
        "customer": {"oneOf": [CUSTOMER, {"type": "null"}]},
        "answers": ANSWERS,
        "reference": {**NAME, "maxLength": REFERENCE_MAX, "description": "What the answer is about, such as an order."},
        "facts": FACTS,
        "responded_at": {**MOMENT_OR_NULL, "description": "At most 24 h ahead; the arrival where it is left out."},
        "complete": {
            "type": "boolean",
            "default": True,
            "description": "false: broken off, as by hanging up. What was answered counts, and `completed_at` stays null.",
        },
    },
    "example": {
        "id": "5f7f4d4e-7a52-4b0e-9d0e-2b8f6a3c1d10",
        "touchpoint": "checkout",
        "mode": "app",
        "language": "en",
        "customer": {"external_id": "C-42"},
        "answers": {"score": 9, "reason": ["price"], "comment": "Quick."},
    },
}
_RESPONSE = {
    "id": {"type": "string", "format": "uuid"},
    "touchpoint": TEXT,
    "instrument": TEXT,
    "version": {"type": "integer"},
    "metric": {"type": "string", "enum": list(Metric.values)},
    "channel": {"type": "string", "enum": list(Channel.values)},
    "mode": {"type": "string", "enum": list(Mode.values)},
    "segment": TEXT,
    "location": TEXT,
    "language": TEXT,
    "customer": {"type": ["string", "null"], "description": "External id; null for nobody known, and once erased."},
    "day": {"type": "string", "format": "date", "description": "Of the organisation's time zone; it never changes."},
    "responded_at": MOMENT,
    "recorded_at": MOMENT,
    "completed_at": {
        **MOMENT_OR_NULL,
        "description": "null: broken off. Only touches were recorded, or the caller hung up.",
    },
    "changed_at": MOMENT_OR_NULL,
    "suspected": {"type": "boolean", "description": "Looked like a machine's; excluded until staff decide."},
    "reference": TEXT,
    "facts": FACTS,
    "excluded": {"type": "boolean", "description": "Taken out of every metric by staff."},
    "answers": ANSWERS,
}
RESPONSE_SCHEMA = {
    "type": "object",
    "required": list(_RESPONSE),
    "additionalProperties": False,
    "properties": _RESPONSE,
}
_QUESTION = {
    "key": TEXT,
    "kind": {"type": "string", "enum": list(Kind.values)},
    "text": TEXT,
    "text_by_score": {
        "type": "array",
        "description": "Asked in place of `text` once the instrument's score lies in the span.",
        "items": {
            "type": "object",
            "required": ["low", "high", "text"],
            "properties": {"low": _SCORE, "high": _SCORE, "text": TEXT},
        },
    },
    "display": {"type": "string", "enum": list(Display.values), "description": "How a scale is drawn."},
    "required": {"type": "boolean"},
    "low_label": TEXT,
    "high_label": TEXT,
    "scores": {"type": "array", "items": _SCORE},
    "options": {
        "type": "array",
        "items": {"type": "object", "required": ["key", "text"], "properties": {"key": TEXT, "text": TEXT}},
    },
    "show_if": {
        "type": "object",
        "description": "Keys of earlier questions: shown where each has one of these answers.",
        "additionalProperties": {"type": "array", "items": {"type": ["integer", "string"]}},
    },
}
_LINK = {
    "type": ["object", "null"],
    "required": ["label", "url"],
    "properties": {"label": TEXT, "url": {"type": "string", "format": "uri"}},
}
_THANKS = {
    "type": "object",
    "required": ["low", "high", "title", "text", "links"],
    "properties": {
        "low": _SCORE,
        "high": _SCORE,
        "title": TEXT,
        "text": TEXT,
        "links": {"type": "array", "items": {**_LINK, "type": "object"}},
    },
}
_INSTRUMENT = {
    "slug": TEXT,
    "metric": {"type": "string", "enum": list(Metric.values)},
    "scale": {"type": "object", "required": ["low", "high"], "properties": {"low": _SCORE, "high": _SCORE}},
    "version": {"type": "integer"},
    "language": {
        "type": "string",
        "description": "In which the questions are: another where the asked one is not written.",
    },
    "direction": {"type": "string", "enum": ["ltr", "rtl"]},
    "max_questions": {"type": "integer", "description": "Asked of one person at most; 0 for all that apply."},
    "thanks": {"type": "array", "items": _THANKS, "description": "What to say after the answer, by its score."},
    "share": {**_LINK, "description": "Shown to everyone alike, whatever they answered."},
    "questions": {
        "type": "array",
        "items": {
            "type": "object",
            "required": list(_QUESTION),
            "additionalProperties": False,
            "properties": _QUESTION,
        },
    },
}
INSTRUMENT_SCHEMA = {
    "type": "object",
    "required": list(_INSTRUMENT),
    "additionalProperties": False,
    "properties": _INSTRUMENT,
}
_MANY = "May repeat."
FILTER_PARAMETERS = [
    OpenApiParameter("touchpoint", str, many=True, description=f"Slugs. {_MANY}"),
    OpenApiParameter("metric", str, many=True, enum=Metric.values, description=_MANY),
    OpenApiParameter("channel", str, many=True, enum=Channel.values, description=_MANY),
    OpenApiParameter("mode", str, many=True, enum=Mode.values, description=_MANY),
    OpenApiParameter("segment", str, many=True, description=f"Empty for none. {_MANY}"),
    OpenApiParameter("location", str, many=True, description=f"Empty for none. {_MANY}"),
    OpenApiParameter("score_min", int),
    OpenApiParameter("score_max", int),
    OpenApiParameter("from", OpenApiTypes.DATE, description="First day."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="Last day, inclusive."),
    OpenApiParameter("has_comment", bool),
    OpenApiParameter(
        "q",
        str,
        description="Words of the texts that were written, all of which must be found: their beginnings are enough, case and accents "
        "do not matter, and “quoted” words must follow each other. Chinese, Japanese, Korean and Thai characters are found wherever "
        f"they stand side by side. At most {MAX_QUERY} characters; nothing that is typed is an error of syntax.",
    ),
    OpenApiParameter("cursor", str),
    OpenApiParameter("page_size", int, description="At most 1,000; 100 where it is left out."),
]
FILTERS = tuple(parameter.name for parameter in FILTER_PARAMETERS)


class ResponseIn(Struct, forbid_unknown_fields=True):
    """The body of POST responses/."""

    id: str
    touchpoint: str
    answers: dict[str, Any]
    instrument: str | None = None
    mode: str = "app"
    language: Annotated[str, Meta(max_length=20)] = ""
    location: Annotated[str, Meta(max_length=100)] = ""
    customer: dict[str, Any] | UnsetType | None = UNSET
    reference: Annotated[str, Meta(max_length=REFERENCE_MAX)] = ""
    facts: dict[str, Any] | None = None
    responded_at: str | None = None
    complete: bool = True


class ResponsesView(CxView):
    scopes = {"GET": "responses:read", "POST": "responses:write"}

    @extend_schema(
        operation_id="responses_list",
        summary="List responses, newest first",
        parameters=FILTER_PARAMETERS,
        responses={200: page_of(RESPONSE_SCHEMA), **problems(400, 404)},
    )
    def get(self, request: Request) -> Answered:
        asked = read_asked(request.query_params)
        cursor = request.query_params.get("cursor", "")
        after, is_back = _read_cursor(cursor)
        limit = page_size(request)
        found = find_responses(asked, limit, after, oldest_first=is_back)
        places = found.places[::-1] if is_back else found.places
        held = everything().in_bulk([place.id for place in places])
        address = request.build_absolute_uri()

        def turned(way: str, place: Place | None) -> str | None:
            return replace_query_param(address, "cursor", f"{way}{place.key}") if place else None

        # Back from behind the first page there is always the page that one came from, and the other way round.
        older = places[-1] if places and (found.more or is_back) else None
        newer = places[0] if places and (found.more or not is_back) and cursor else None
        return Answered(
            {
                "next": turned(OLDER, older),
                "previous": turned(NEWER, newer),
                "results": [shown(held[place.id]) for place in places if place.id in held],
            }
        )

    @extend_schema(
        summary="Record an answer that another system collected",
        operation_id="responses_create",
        request={JSON: RESPONSE_IN_SCHEMA},
        responses={
            201: OpenApiResponse(RESPONSE_SCHEMA, "Recorded."),
            200: OpenApiResponse(RESPONSE_SCHEMA, "The same again: nothing is counted twice."),
            **problems(400, 409, 413, 415),
        },
    )
    def post(self, request: Request) -> Answered:
        now = timezone.now()
        body = read_json(request)
        same = _recorded_before(body)
        if same is not None:
            return Answered(shown(same), status=200)
        try:
            recorded = record_response(read_submission(body, now), now)
        except InputError as error:
            raise Problem(400, "The response is not valid.", [FieldError(*found) for found in error.errors]) from None
        except BodyConflict:
            raise Problem(
                409, "Another response was recorded under this id.", [FieldError("/id", "is taken.")]
            ) from None
        row = everything().get(pk=recorded.response.pk)
        return Answered(shown(row), status=201 if recorded.created else 200)


class ResponseView(CxView):
    scopes = {"GET": "responses:read"}

    @extend_schema(
        operation_id="responses_retrieve",
        summary="One response",
        responses={200: RESPONSE_SCHEMA, **problems(404)},
    )
    def get(self, request: Request, client_id: uuid.UUID) -> Answered:
        return Answered(shown(get_object_or_404(everything(), client_id=client_id)))


class InstrumentView(CxView):
    scopes = {"GET": "responses:write"}

    @extend_schema(
        summary="What an app needs to draw the form itself",
        parameters=[
            OpenApiParameter("language", str, description="BCP 47; what is not written in it falls back."),
            OpenApiParameter("touchpoint", str, description="A slug, to fill in {touchpoint} where wordings name it."),
        ],
        responses={200: INSTRUMENT_SCHEMA, **problems(400, 404)},
    )
    def get(self, request: Request, slug: str) -> Answered:
        instrument = get_object_or_404(Instrument, slug=slug)
        version = instrument.current_version()
        if version is None:
            raise Http404
        organisation = Organisation.current()
        language = normalise_tag(request.query_params.get("language", "") or organisation.default_language)
        fallbacks = [organisation.default_language, "en"]
        names = {"organisation": pick(organisation.name, language, fallbacks)}
        if "touchpoint" in request.query_params:
            names["touchpoint"] = pick(_named_touchpoint(request.query_params).name, language, fallbacks)
        wordings = wordings_of(version)
        shown_in = match_language(language, LANGUAGES) or "en"
        with translation.override(shown_in):
            say = Phrases(organisation.phrases.get(shown_in))
            questions = questions_in(wordings, language, fallbacks, names, say)
            told = {
                scores: thanks_for(
                    instrument, scores[0], say, lambda texts: fill(pick(texts, language, fallbacks), **names)
                )
                for scores in (instrument.scale.scores_of(band) for band, _lowest in instrument.scale.bands)
            }
        share = next(iter(told.values()))["share"]  # the same for everyone
        return Answered(
            {
                "slug": instrument.slug,
                "metric": instrument.metric,
                "scale": {"low": instrument.scale.low, "high": instrument.scale.high},
                "version": version.number,
                "language": picked_language(wordings[0].text, language, fallbacks),
                "direction": "rtl" if shown_in in settings.LANGUAGES_BIDI else "ltr",
                "max_questions": instrument.max_questions,
                "thanks": [
                    {
                        "low": scores[0],
                        "high": scores[-1],
                        "title": said["title"],
                        "text": said["text"],
                        "links": [_link(*link) for link in said["links"]],
                    }
                    for scores, said in told.items()
                ],
                "share": _link(*share) if share else None,
                "questions": [
                    {
                        "key": question.key,
                        "kind": question.kind,
                        "text": question.text,
                        "text_by_score": [
                            {"low": low, "high": high, "text": text} for low, high, text in sorted(question.by_band)
                        ],
                        "display": question.display,
                        "required": question.required,
                        "low_label": question.low_label,
                        "high_label": question.high_label,
                        "scores": question.scores,
                        "options": [{"key": key, "text": text} for key, text in question.options],
                        "show_if": question.show_if,
                    }
                    for question in questions
                ],
            }
        )


def _link(label: str, url: str) -> dict[str, str]:
    return {"label": label, "url": url}


def _named_touchpoint(query: Any) -> Touchpoint:
    errors = filter_faults(query, ("language", "touchpoint"))
    found = None if errors else Touchpoint.objects.filter(slug=query["touchpoint"]).first()
    if found is None:
        raise Problem(
            400, "The query is not valid.", errors or [FieldError("/touchpoint", "is not the slug of a touchpoint.")]
        )
    return found


def hash_of(body: Any) -> str:
    """SHA-256 of a JSON body, however its keys are ordered and spaced."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _recorded_before(body: Any) -> "Response | None":
    """The response that this very body was recorded as. It is not read again: its instrument may ask otherwise by now."""
    try:
        client_id = uuid.UUID(body["id"])
        return everything().filter(client_id=client_id, body_hash=hash_of(body)).first()
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError):
        return None  # whatever is wrong with it is told by whoever reads it


def read_submission(body: Any, now: datetime) -> Submission:
    """The body as a Submission; InputError with pointers."""
    refuse_unstorable(body)
    try:
        given = msgspec.convert(body, ResponseIn, strict=True)
    except msgspec.ValidationError as error:
        raise InputError([pointed(str(error))]) from None
    errors: list[tuple[str, str]] = []
    try:
        client_id = uuid.UUID(given.id)
    except ValueError:
        client_id = uuid.UUID(int=0)
        errors.append(("/id", "is not a UUID."))
    if given.mode not in Mode.values:
        errors.append(("/mode", f"“{given.mode}” is not a mode; it is one of {', '.join(Mode.values)}."))
    touchpoint = Touchpoint.objects.select_related("instrument").filter(slug=given.touchpoint).first()
    if touchpoint is None:
        raise InputError([*errors, ("/touchpoint", f"“{given.touchpoint}” is not a touchpoint.")])
    instrument = touchpoint.instrument
    if given.instrument is not None:
        instrument = Instrument.objects.filter(slug=given.instrument).first()
    version = instrument.current_version() if instrument else None
    if version is None:
        what = (
            f"“{given.instrument}” is not an instrument."
            if given.instrument
            else "is missing: the touchpoint has none."
        )
        raise InputError([*errors, ("/instrument", what)])
    responded_at = None
    if given.responded_at is not None:
        responded_at = read_time(given.responded_at, now, "/responded_at", errors)
    wordings = wordings_of(version)
    keys = {wording.question.key for wording in wordings}
    strange = [key for key in given.answers if key not in keys]
    errors += [(f"/answers/{escape_pointer(key)}", "is not a question of this instrument.") for key in strange]
    checked = check(wordings, given.answers, most=version.instrument.max_questions)
    faults = checked.errors
    if (
        not given.complete and checked.answers
    ):  # what was asked and not reached is no fault of an answer that was broken off
        faults = {key: detail for key, detail in faults.items() if given.answers.get(key) is not None}
    errors += [(f"/answers/{key}", detail) for key, detail in faults.items()]
    facts = given.facts or {}
    errors += [
        (f"/facts/{escape_pointer(key)}", "is not a plain value.") for key in facts if not is_fact(key, facts[key])
    ]
    if len(facts) > FACTS_COUNT:
        errors.append(("/facts", f"has more than {FACTS_COUNT} facts."))
    profile = None
    if given.customer is not UNSET and given.customer is not None:
        customer_in = shaped_customer(given.customer, "/customer")
        if not isinstance(customer_in.external_id, str):
            errors.append(("/customer/external_id", "is missing."))
        else:
            profile = read_profile(customer_in, customer_in.external_id, "/customer", errors, now)
    if errors:
        raise InputError(errors)
    earlier = Response.objects.select_related("customer").filter(client_id=client_id).first()
    if earlier is not None:
        customer = earlier.customer  # the same again says nothing new of anybody, and neither does a conflict
    else:
        customer = upsert_customer(profile, responded_at or now, now) if profile else None
    return Submission(
        client_id=client_id,
        touchpoint=touchpoint,
        version=version,
        mode=given.mode,
        answers=checked.answers,
        language=normalise_tag(given.language) if given.language else "",
        location=given.location,
        customer=customer,
        responded_at=responded_at,
        body_hash=hash_of(body),
        reference=given.reference,
        facts=facts,
        complete=given.complete,
    )


def everything() -> "QuerySet[Response]":
    return Response.objects.select_related("touchpoint", "version__instrument", "customer").prefetch_related(
        "answers__question"
    )


def shown(row: Response) -> dict[str, Any]:
    """A response as the API shows it."""
    answers: dict[str, Any] = {}
    for answer in row.answers.all():
        answers[answer.question.key] = answer.value
    customer: Customer | None = row.customer
    version: InstrumentVersion = row.version
    return {
        "id": str(row.client_id),
        "touchpoint": row.touchpoint.slug,
        "instrument": version.instrument.slug,
        "version": version.number,
        "metric": version.instrument.metric,
        "channel": row.touchpoint.channel,
        "mode": row.mode,
        "segment": row.segment,
        "location": row.location,
        "language": row.language,
        "customer": customer.external_id if customer and customer.erased_at is None else None,
        "day": row.day.isoformat(),
        "responded_at": row.responded_at.isoformat(),
        "recorded_at": row.recorded_at.isoformat(),
        "completed_at": row.completed_at.isoformat() if row.completed_at else None,
        "changed_at": row.changed_at.isoformat() if row.changed_at else None,
        "suspected": row.suspected_at is not None and row.excluded_at is not None,
        "reference": row.reference,
        "facts": row.facts,
        "excluded": row.excluded_at is not None,
        "answers": answers,
    }


OLDER, NEWER = "o", "n"  # which way a cursor leads from its place


def _read_cursor(cursor: str) -> tuple[Place | None, bool]:
    """(place, whether the page is the one before it). Http404 for what is no cursor of ours."""
    if not cursor:
        return None, False
    try:
        if cursor[0] not in (OLDER, NEWER):
            raise ValueError(cursor)
        return Place.read(cursor[1:]), cursor[0] == NEWER
    except ValueError:
        raise Http404("This cursor leads nowhere.") from None


def read_asked(query: Any) -> Asked:
    """What the query parameters ask for. Problem 400 with a pointer for a wrong one."""
    errors = filter_faults(query, FILTERS)
    chosen: dict[str, list[str]] = {}
    for name, known in _CHOICES.items():
        wanted = query.getlist(name)
        if not wanted:
            continue
        if known is not None and any(value not in known for value in wanted):
            errors.append(FieldError(f"/{name}", f"is one of {', '.join(known)}."))
        chosen[name] = wanted
    scores: dict[str, int] = {}
    for name in ("score_min", "score_max"):
        text = query.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) < 4):
            errors.append(FieldError(f"/{name}", "is a whole number."))
        elif text is not None:
            scores[name] = int(text)
    days = {name: read_day(query[name]) for name in ("from", "to") if name in query}
    errors += [FieldError(f"/{name}", "is a day such as 2026-11-20.") for name, day in days.items() if day is None]
    flag = query.get("has_comment")
    if flag is not None and flag not in ("true", "false", "1", "0"):
        errors.append(FieldError("/has_comment", "is true or false."))
    typed = query.get("q") or ""
    if len(typed) > MAX_QUERY:
        errors.append(FieldError("/q", f"is longer than {MAX_QUERY} characters."))
    if errors:
        raise Problem(400, "The query is not valid.", errors)
    begin, end = Organisation.current().moments(days.get("from"), days.get("to")) if days else (None, None)
    return Asked(
        begin=begin,
        end=end,
        touchpoints=_touchpoint_ids(chosen),
        metrics=chosen.get("metric"),
        modes=chosen.get("mode"),
        segments=chosen.get("segment"),
        locations=chosen.get("location"),
        has_comment=None if flag is None else flag in ("true", "1"),
        text=read_query(typed) if typed else None,
        score_min=scores.get("score_min"),
        score_max=scores.get("score_max"),
    )


_CHOICES: dict[str, list[str] | None] = {
    "touchpoint": None,
    "metric": Metric.values,
    "channel": Channel.values,
    "mode": Mode.values,
    "segment": None,
    "location": None,
}


def _touchpoint_ids(chosen: dict[str, list[str]]) -> list[int] | None:
    if "touchpoint" not in chosen and "channel" not in chosen:
        return None
    rows = Touchpoint.objects.all()
    if "touchpoint" in chosen:
        rows = rows.filter(slug__in=chosen["touchpoint"])
    if "channel" in chosen:
        rows = rows.filter(channel__in=chosen["channel"])
    return list(rows.values_list("pk", flat=True))
