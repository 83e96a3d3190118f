"""What the OpenAPI document says of bodies that several views share. In: nothing. Out: JSON Schemas (2020-12), as plain data.

Only a description: what is taken and refused is decided where it is read, and tests hold real answers against this.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiResponse

from surveys.flow.incoming import MAX_CONSENTS
from surveys.models import Purpose
from surveys.models.responses import SENT_MODES

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "maxLength": 100}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."}
MOMENT_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
CUSTOMER: Schema = {
    "type": "object",
    "description": "An absent key keeps what is known, null clears it, attributes merge key by key.",
    "properties": {
        "external_id": {"type": "string", "maxLength": 200},
        "email": {"type": ["string", "null"], "format": "email", "maxLength": 254},
        "phone": {"type": ["string", "null"], "description": "International, such as +8613800000000."},
        "name": {"type": ["string", "null"], "maxLength": 200},
        "language": {"type": ["string", "null"], "description": "BCP 47, such as zh-hans."},
        "time_zone": {"type": ["string", "null"], "description": "Such as Asia/Shanghai."},
        "segment": {"type": ["string", "null"], "maxLength": 100},
        "preferred_modes": {
            "type": ["array", "null"],
            "items": {"type": "string", "enum": list(SENT_MODES)},
            "uniqueItems": True,
            "description": "By which means this person would rather be asked, the dearest first. It puts a rule’s own modes in "
            "order and adds none.",
        },
        "attributes": {"type": ["object", "null"], "additionalProperties": True},
        "consents": {
            "type": ["array", "null"],
            "maxItems": MAX_CONSENTS,
            "description": "Acts of giving and withdrawing, in any order: of each mode and purpose the newest by its own time holds, "
            "of two at the same time the withdrawal. Null and an empty list say nothing. The same act again is kept once. "
            "A withdrawal is obeyed by every rule, a consent is asked for by those that need one; neither lifts a suppression.",
            "items": {
                "type": "object",
                "required": ["mode", "given"],
                "properties": {
                    "mode": {"type": "string", "enum": list(SENT_MODES)},
                    "given": {"type": "boolean", "description": "False: withdrawn."},
                    "purpose": {"type": "string", "enum": list(Purpose.values), "default": "surveys"},
                    "at": {
                        "type": ["string", "null"],
                        "format": "date-time",
                        "description": "When it was said; the time of what it comes with where it is left out.",
                    },
                    "source": {"type": "string", "maxLength": 200, "description": "Where: “checkout form”."},
                    "text_version": {"type": "string", "maxLength": 100, "description": "Which text they agreed to."},
                    "text": {"type": "string", "maxLength": 4000, "description": "The text itself."},
                },
            },
        },
    },
}
ANSWERS: Schema = {
    "type": "object",
    "description": "By question key: a score is an integer of its scale, choices are keys of options, a comment is a text.",
    "additionalProperties": {"type": ["integer", "string", "array"], "items": TEXT},
}
ERRORS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {"pointer": {"type": "string", "description": "JSON Pointer (RFC 6901)."}, "detail": TEXT},
    },
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "errors": ERRORS},
}
_MEANINGS = {
    400: "Something of the input is wrong; `errors` name the places.",
    401: "No valid API key.",
    403: "The key lacks the scope.",
    404: "There is nothing here.",
    409: "Something else was recorded under this id.",
    413: "More than 4 MB, or more than 1,000 items.",
    415: "Another content type.",
    503: "The database does not answer; send it again after `Retry-After` seconds.",
}
ALWAYS = (401, 403, 503)


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """What a view may answer instead: these statuses, and those that any may."""
    return {
        (status, "application/problem+json"): OpenApiResponse(dict(PROBLEM_SCHEMA), _MEANINGS[status])
        for status in sorted({*statuses, *ALWAYS})
    }


def page_of(item: Schema) -> dict[str, Any]:
    """A page of a list: follow `next` until it is null."""
    link = {"type": ["string", "null"], "format": "uri"}
    return {
        "type": "object",
        "required": ["next", "previous", "results"],
        "properties": {"next": link, "previous": link, "results": {"type": "array", "items": item}},
    }
