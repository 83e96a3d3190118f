"""Any HTTP gateway, described by a file. In: Letters, and what the gateway posts. Out: Outcomes, texts, reports.

The file is YAML; docs/sms.md tells each key, with examples. `${NAME}` in it is a variable of the environment, so that secrets need
not stand in it; `{name}` is filled in for each message. Whatever the file does not name as a fault of the number is taken for a
temporary failure: to give up a customer's number for a mistake of ours is the worse error.
"""

import contextlib
import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import phonenumbers
import requests
from django.core.exceptions import ImproperlyConfigured
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from surveys.channels.sms.posting import json_of, post, said, wrong
from surveys.channels.sms.shape import (
    BOUNCED,
    DELIVERED,
    FAILED,
    Forged,
    IncomingText,
    Report,
    Thanks,
    Unreadable,
    Webhook,
)
from surveys.letters import DETAIL_MAX, Letter, Outcome
from surveys.texts import fill, pick

BODIES = {
    "json": "application/json; charset=utf-8",
    "form": "application/x-www-form-urlencoded; charset=utf-8",
    "query": "",
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Answers:
    """Where a gateway's answer says what. Paths lead into JSON ("data.0.id"); with format "text" they are regular expressions."""

    format: str = "json"
    success: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""
    code: str = ""
    error: str = ""
    permanent: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """Where a posted text has its sender, its words and its id."""

    sender: str = "from"
    text: str = "text"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a posted report has its message's id and state, and which states mean what."""

    id: str = "id"
    state: str = "state"
    delivered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    bounced: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """How a gateway proves itself: a shared secret in a header or the query, or an HMAC-SHA256 of the body in a header."""

    secret: str = ""
    hmac: str = ""
    header: str = ""
    query: str = ""
    says: str = "ok"


@dataclass(frozen=True, slots=True)
class Spec:
    """A gateway's file, read."""

    url: str
    fields: Any
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "json"
    basic_auth: tuple[str, str] | None = None
    region: str = ""
    templates: Mapping[str, Any] = field(default_factory=dict)
    answer: Answers = field(default_factory=Answers)
    texts: Texts | None = None
    reports: Reports | None = None
    webhooks: Webhooks = field(default_factory=Webhooks)


class Gateway:
    name = "gateway"

    def __init__(self, spec: Spec, base_url: str) -> None:
        self.spec, self.base_url = spec, base_url
        self.takes_replies = spec.texts is not None
        self.thanks = Thanks(spec.webhooks.says)

    @classmethod
    def from_file(cls, url: str, base_url: str) -> "Gateway":
        """Read once in a process: a changed file wants a restart, as any other setting does."""
        path = Path(unquote(urlsplit(url).path))
        try:
            return cls(read_spec(path.read_text(encoding="utf-8")), base_url)
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"SMS_URL names a file that cannot be read: {error}") from None

    @contextlib.contextmanager
    def connect(self) -> "Iterator[GatewayCarrier]":
        with requests.Session() as session:
            yield GatewayCarrier(self, session)

    def places(self, letter: Letter) -> dict[str, str]:
        """What a message fills in."""
        number = phonenumbers.parse(letter.to, None)
        language, kind = letter.names.get("language", ""), letter.names.get("kind", "")
        templates = self.spec.templates.get(kind) or {}
        return {
            **letter.names,
            "to": letter.to,
            "digits": letter.to.lstrip("+"),
            "national": phonenumbers.national_significant_number(number),
            "country": str(number.country_code),
            "text": letter.text,
            "message_id": letter.message_id.strip("<>"),
            "status_url": f"{self.base_url}/sms/status/{self.name}/",
            "template": pick(templates, language) if isinstance(templates, Mapping) else str(templates),
        }

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        """Without a secret in the file nothing is believed."""
        rules = self.spec.webhooks
        if rules.hmac:
            expected = hmac.new(rules.hmac.encode(), webhook.body, "sha256").hexdigest()
            given = webhook.headers.get(rules.header.lower(), "").removeprefix("sha256=").lower()
        else:
            expected = rules.secret
            given = webhook.query.get(rules.query, "") if rules.query else webhook.headers.get(rules.header.lower(), "")
        if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Forged("the secret or the signature does not fit")

    def read_texts(self, webhook: Webhook) -> list[IncomingText]:
        rules = self.spec.texts
        if rules is None:
            raise Unreadable("the gateway's file has no texts")
        found = []
        for item in _items(webhook):
            sender, text = at(item, rules.sender), at(item, rules.text)
            if sender is None or text is None:
                raise Unreadable(f"{rules.sender} or {rules.text} is missing")
            message_id = at(item, rules.id) if rules.id else None
            found.append(IncomingText(_text(message_id), self.number(_text(sender)), _text(text)))
        return found

    def number(self, sender: str) -> str:
        """E.164, where it can be told; else as it came."""
        with contextlib.suppress(phonenumbers.NumberParseException):
            number = phonenumbers.parse(sender, self.spec.region or None)
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        return sender

    def read_reports(self, webhook: Webhook) -> list[Report]:
        rules = self.spec.reports
        if rules is None:
            raise Unreadable("the gateway's file has no reports")
        found = []
        for item in _items(webhook):
            reference, state = at(item, rules.id), at(item, rules.state)
            if reference is None or state is None:
                raise Unreadable(f"{rules.id} or {rules.state} is missing")
            said_more = _text(at(item, rules.detail)) if rules.detail else ""
            detail = " ".join(filter(None, (_text(state), said_more)))[:DETAIL_MAX]
            for kind, states in ((DELIVERED, rules.delivered), (BOUNCED, rules.bounced), (FAILED, rules.failed)):
                if _text(state) in states or (said_more and said_more in states):
                    found.append(Report(_text(reference), kind, "" if kind == DELIVERED else detail))
                    break
        return found


class GatewayCarrier:
    """One session with a gateway."""

    def __init__(self, gateway: Gateway, session: requests.Session) -> None:
        self.gateway, self.session = gateway, session

    def send(self, letter: Letter) -> Outcome:
        spec = self.gateway.spec
        places = self.gateway.places(letter)
        fields = filled(spec.fields, places)
        options: dict[str, Any] = {"params": fields} if spec.body == "query" else {"data": fields}
        if spec.body == "json":
            options["data"] = json.dumps(fields, ensure_ascii=False).encode()
        headers = {name: fill(value, **places) for name, value in spec.headers.items()}
        if BODIES[spec.body]:
            headers.setdefault("Content-Type", BODIES[spec.body])
        answer = post(self.session, spec.method, spec.url, headers=headers, auth=spec.basic_auth, **options)
        return answer if isinstance(answer, Outcome) else self._judge(answer, letter)

    def _judge(self, answer: requests.Response, letter: Letter) -> Outcome:
        rules = self.gateway.spec.answer
        ok = 200 <= answer.status_code < 300
        if rules.format == "text":
            success = ok and re.search(str(rules.success or ""), answer.text) is not None
            reference, error = _matched(rules.id, answer.text), said(answer)
            told = _matched(rules.code, answer.text) or answer.text
        else:
            document = json_of(answer)
            if not isinstance(document, dict | list):
                return wrong(answer)
            wanted = rules.success if isinstance(rules.success, Mapping) else {}
            success = ok and all(_text(at(document, path)) in _listed(values) for path, values in wanted.items())
            reference = _text(at(document, rules.id)) if rules.id else ""
            told = _text(at(document, rules.code)) if rules.code else ""
            error = " ".join(filter(None, (told, _text(at(document, rules.error)) if rules.error else "")))
            if not success and wanted and all(at(document, path) is None for path in wanted):
                return wrong(answer)
        if success:
            if rules.id and not reference:
                return wrong(answer)
            return Outcome("sent", reference=reference or letter.message_id)
        detail = (error or said(answer))[:DETAIL_MAX]
        if told in rules.permanent:
            return Outcome("permanent", detail)
        return Outcome("temporary", detail, carrier_away=told in rules.busy)


def at(document: Any, path: str) -> Any:
    """The value at "data.0.id"; None where there is none."""
    for step in path.split("."):
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def filled(fields: Any, places: Mapping[str, str]) -> Any:
    """The same structure with each {name} in its texts filled in."""
    if isinstance(fields, str):
        return fill(fields, **places)
    if isinstance(fields, Mapping):
        return {name: filled(value, places) for name, value in fields.items()}
    if isinstance(fields, list):
        return [filled(value, places) for value in fields]
    return fields


def _items(webhook: Webhook) -> list[Any]:
    """What was posted: a form is one item, a JSON object one, an array several."""
    if webhook.form:
        return [webhook.form]
    try:
        document = json.loads(webhook.body)
    except ValueError:
        document = dict(parse_qsl(webhook.body.decode("utf-8", "replace"))) or None
    if not isinstance(document, dict | list):
        raise Unreadable("neither a form nor JSON")
    return document if isinstance(document, list) else [document]


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(values: Any) -> tuple[str, ...]:
    return tuple(_text(value) for value in (values if isinstance(values, list) else [values]))


def _matched(pattern: str, text: str) -> str:
    found = re.search(pattern, text) if pattern else None
    return (found[1] if found.groups() else found[0]) if found else ""


# --- The file ---------------------------------------------------------------------------------------------------------


def read_spec(text: str) -> Spec:
    """A gateway's file. ImproperlyConfigured names what is wrong in it."""
    try:
        document = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ImproperlyConfigured(f"The SMS gateway's file is no YAML: {error}") from None
    if not isinstance(document, dict):
        raise ImproperlyConfigured("The SMS gateway's file is no map of keys.")
    given = _with_variables(document)
    for key in ("url", "fields"):
        if not given.get(key):
            raise ImproperlyConfigured(f"The SMS gateway's file has no {key}.")
    basic = given.pop("basic_auth", None)
    parts: dict[str, Any] = {
        "answer": Answers(**_part(given, "answer", Answers)),
        "webhooks": Webhooks(**_part(given, "webhooks", Webhooks)),
        "texts": Texts(**_part(given, "texts", Texts)) if given.get("texts") else None,
        "reports": Reports(**_part(given, "reports", Reports)) if given.get("reports") else None,
    }
    for key in parts:
        given.pop(key, None)
    known = {"url", "fields", "method", "headers", "body", "region", "templates"}
    if given.keys() - known:
        raise ImproperlyConfigured(
            f"The SMS gateway's file has keys unknown here: {', '.join(sorted(given.keys() - known))}."
        )
    if urlsplit(str(given["url"])).scheme not in ("http", "https"):
        raise ImproperlyConfigured("The SMS gateway's url begins with https:// or http://.")
    if given.get("body", "json") not in BODIES:
        raise ImproperlyConfigured(f"The SMS gateway's body is one of {', '.join(BODIES)}.")
    if given.get("body") in ("form", "query") and any(isinstance(v, dict | list) for v in given["fields"].values()):
        raise ImproperlyConfigured("The SMS gateway's fields are plain texts unless its body is json.")
    rules = parts["webhooks"]
    if (parts["texts"] or parts["reports"]) and not (rules.secret or rules.hmac):
        raise ImproperlyConfigured(
            "The SMS gateway's webhooks have neither secret nor hmac: anybody could speak for a customer."
        )
    if (rules.hmac and not rules.header) or (rules.secret and not (rules.header or rules.query)):
        raise ImproperlyConfigured("The SMS gateway's webhooks name no header (or query) that carries the proof.")
    user, _colon, password = str(basic or "").partition(":")
    return Spec(**given, **parts, basic_auth=(user, password) if basic else None)


def _part(given: Mapping[str, Any], key: str, of: Any) -> dict[str, Any]:
    """The keys of one part; those that hold several values as tuples of text."""
    part = given.get(key) or {}
    known = of.__dataclass_fields__
    if not isinstance(part, dict) or part.keys() - known.keys():
        unknown = ", ".join(sorted(map(str, part.keys() - known.keys()))) if isinstance(part, dict) else str(part)
        raise ImproperlyConfigured(f"The SMS gateway's {key} has keys unknown here: {unknown}.")
    several = {name for name, spec in known.items() if str(spec.type).startswith("tuple")}
    return {name: _listed(value) if name in several else value for name, value in part.items()}


def _with_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _with_variables(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_variables(inner) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(_variable, value)
    return value


def _variable(found: "re.Match[str]") -> str:
    if found[1] not in os.environ:
        raise ImproperlyConfigured(f"The SMS gateway's file names {found[1]}, which is not in the environment.")
    return os.environ[found[1]]
