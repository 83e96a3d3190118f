"""Who carries mail. In: EMAIL_URL. Out: Django's and anymail's settings, or what is wrong with it. No network here, no database.

    smtp://user:password@host:25                    smtp+tls:// is STARTTLS (587), smtps:// TLS from the start (465)
    mailgun://API_KEY@/?sender_domain=mg.example.com&webhook_secret=…
                                                    any provider of django-anymail: its key before the @, all else by name
    (unset)                                         the local mailbox

Settings must load whatever stands in EMAIL_URL: what is wrong is said by a system check (surveys/checks.py), and mail waits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

TIMEOUT_S = 15  # at every step of a message; tasks.py's limit for a sending task must outlast all of them
SMTP_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
LOCAL = frozenset({"consolemail", "filemail", "memorymail", "dummymail"})  # Django's own, for whoever develops
SHAPE = "EMAIL_URL is smtp+tls://user:password@host:587 or provider://API_KEY@/?name=value (docs/email.md)."


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of django-anymail: what stands where in its URL, by the names of anymail's settings.

    `keys`: what stands before the @, in its order. `proofs`: any one of them lets anymail tell the provider's webhooks from
    forged ones; a provider without any signs with its API key. `may_track`: it counts opens and clicks unless told not to.
    """

    prefix: str
    keys: tuple[str, ...] = ("api_key",)
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ("webhook_secret",)
    has_webhooks: bool = True
    may_track: bool = False
    defaults: Mapping[str, str] = field(default_factory=dict)


PROVIDERS: Mapping[str, Provider] = {
    "amazon_ses": Provider(
        "AMAZON_SES",
        keys=(),  # ses://KEY_ID:SECRET@/, or nothing where the machine has a role
        optional=("region", "configuration_set_name", "message_tag_name"),
    ),
    "brevo": Provider("BREVO", optional=("api_url",)),
    "mailersend": Provider(
        "MAILERSEND",
        keys=("api_token",),
        optional=("api_url", "signing_secret"),
        proofs=("signing_secret",),
        may_track=True,
    ),
    "mailgun": Provider(
        "MAILGUN", optional=("sender_domain", "api_url", "webhook_signing_key"), proofs=(), may_track=True
    ),
    "mailjet": Provider("MAILJET", keys=("api_key", "secret_key"), optional=("api_url",), may_track=True),
    "mailtrap": Provider(
        "MAILTRAP",
        keys=("api_token",),
        optional=("api_url", "sandbox_id", "tracking_secret"),
        proofs=("webhook_secret", "tracking_secret"),
    ),
    "mandrill": Provider(
        "MANDRILL",
        optional=("api_url", "webhook_key", "webhook_url"),
        proofs=("webhook_key",),
        may_track=True,
        defaults={"webhook_url": "{status_url}"},  # it signs the public address, which a proxy hides from us
    ),
    "postal": Provider("POSTAL", required=("api_url",), optional=("webhook_key",), proofs=("webhook_key",)),
    "postmark": Provider("POSTMARK", keys=("server_token",), optional=("api_url", "message_stream"), may_track=True),
    "resend": Provider("RESEND", optional=("api_url", "signing_secret"), proofs=("webhook_secret", "signing_secret")),
    "scaleway": Provider(
        "SCALEWAY", keys=("secret_key",), required=("project_id",), optional=("api_url", "region"), has_webhooks=False
    ),
    "sendgrid": Provider(
        "SENDGRID",
        optional=("api_url", "tracking_webhook_verification_key"),
        proofs=("webhook_secret", "tracking_webhook_verification_key"),
        may_track=True,
    ),
    "sparkpost": Provider("SPARKPOST", optional=("api_url", "subaccount"), may_track=True),
    "unisender_go": Provider("UNISENDER_GO", required=("api_url",), proofs=(), may_track=True),
}
OTHER_NAMES = {"ses": "amazon_ses", "sendinblue": "brevo"}


@dataclass(frozen=True, slots=True)
class Carrier:
    """What an EMAIL_URL means. `provider`: anymail's, "" for SMTP. `problem`: what is wrong with it; then nothing can leave."""

    settings: Mapping[str, Any]
    provider: str = ""
    problem: str = ""
    is_heard: bool = False  # the provider's webhooks can be told from forged ones


def read_email_url(url: str, base_url: str) -> Carrier:
    """The settings of one URL; "" is the local mailbox. Never raises."""
    if not url:
        return Carrier({"EMAIL_BACKEND": "surveys.mailbox.MailboxBackend"})
    try:
        return _read(url, base_url)
    except (ValueError, ImproperlyConfigured) as error:
        return Carrier({"EMAIL_BACKEND": "surveys.mailbox.NobodyBackend"}, problem=str(error))


def _read(url: str, base_url: str) -> Carrier:
    scheme, colon, rest = url.partition("://")
    scheme = scheme.lower().replace("smtps", "smtp+ssl")  # environ takes smtps for STARTTLS; RFC 8314 means TLS at once
    if not colon:
        raise ValueError(SHAPE)
    if scheme in SMTP_PORTS or scheme in LOCAL:
        return Carrier(_smtp(scheme, rest))
    name = scheme.replace("-", "_")
    name = OTHER_NAMES.get(name, name)
    if name not in PROVIDERS:
        raise ValueError(
            f"EMAIL_URL names {scheme}, which nobody here knows. Known: smtp, smtp+tls, smtps, {', '.join(PROVIDERS)}."
        )
    return _anymail(name, PROVIDERS[name], rest, f"{base_url}/email/status/{name}/")


def _smtp(scheme: str, rest: str) -> dict[str, Any]:
    parts = urlsplit(f"{scheme}://{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            "EMAIL_URL has a port that is none. A password with special characters is percent-encoded."
        ) from None
    if scheme in SMTP_PORTS and not parts.hostname:
        raise ValueError("EMAIL_URL names no mail server: smtp+tls://user:password@HOST:587.")
    found = dict(environ.Env.email_url_config(f"{scheme}://{rest}"))
    found["EMAIL_PORT"] = port or SMTP_PORTS.get(scheme, 0)
    return {**found, "EMAIL_TIMEOUT": TIMEOUT_S}


def _anymail(name: str, provider: Provider, rest: str, status_url: str) -> Carrier:
    parts = urlsplit(f"x://{rest}")  # urlsplit takes no scheme with an underscore
    account, at, host = parts.netloc.rpartition("@")
    keys = [unquote(part) for part in account.split(":")] if account else []
    example = f"{name}://{':'.join(key.upper() for key in provider.keys) or 'KEY_ID:SECRET'}@/"
    if host or parts.path not in ("", "/") or (account and not at):
        raise ValueError(
            f"EMAIL_URL of {name} is {example}?name=value: only the key stands before the query, and / in it is %2F."
        )
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = {*provider.required, *provider.optional, "webhook_secret"}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise ValueError(
            f"EMAIL_URL of {name} has names unknown here: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
        )
    empty = sorted(key for key in given if not given[key])
    missing = [key for key in provider.required if key not in given]
    if empty or missing:
        raise ValueError(f"EMAIL_URL of {name} lacks {', '.join(missing + empty)}: {example}?{(missing + empty)[0]}=….")
    if api_url := given.get("api_url"):
        _refuse_address(api_url, name)
    anymail: dict[str, Any] = {
        # A letter without a header that a provider does not take is better than no letter.
        "IGNORE_UNSUPPORTED_FEATURES": True,
        "REQUESTS_TIMEOUT": (TIMEOUT_S, TIMEOUT_S),
    }
    if secret := given.pop("webhook_secret", ""):
        anymail["WEBHOOK_SECRET"] = secret if ":" in secret else f"cxsurvey:{secret}"
    is_heard = provider.has_webhooks and (
        not provider.proofs
        or any(proof in given or (proof == "webhook_secret" and secret) for proof in provider.proofs)
    )
    if provider.may_track:  # whoever opens a letter is not watched
        anymail[f"{provider.prefix}_SEND_DEFAULTS"] = {"track_opens": False, "track_clicks": False}
    if name == "amazon_ses":
        anymail["AMAZON_SES_CLIENT_PARAMS"] = _amazon(keys, given.pop("region", ""), example)
    elif len(keys) != len(provider.keys) or not all(keys):
        raise ValueError(f"EMAIL_URL of {name} lacks its key: {example}.")
    given = {key: value.format(status_url=status_url) for key, value in provider.defaults.items()} | given
    for key, value in [*zip(provider.keys, keys, strict=False), *given.items()]:
        anymail[f"{provider.prefix}_{key.upper()}"] = value
    settings = {"EMAIL_BACKEND": f"anymail.backends.{name}.EmailBackend", "ANYMAIL": anymail}
    return Carrier(settings, provider=name, is_heard=is_heard)


def _amazon(keys: list[str], region: str, example: str) -> dict[str, Any]:
    """What boto3 is told; where there are no keys it finds the machine's own role."""
    if keys and (len(keys) != 2 or not all(keys)):
        raise ValueError(f"EMAIL_URL of amazon_ses lacks a part of its key: {example}.")
    found = dict(zip(("aws_access_key_id", "aws_secret_access_key"), keys, strict=False))
    if region:
        found["region_name"] = region
    timeouts = {"connect_timeout": TIMEOUT_S, "read_timeout": TIMEOUT_S, "retries": {"max_attempts": 0}}
    return {**found, "config": timeouts}


def _refuse_address(url: str, name: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"EMAIL_URL of {name} has an api_url that is no address: https://….")


def read_rate(name: str, text: str) -> tuple[float, str]:
    """(messages per second, what is wrong): 0 where there is no limit."""
    if not text:
        return 0.0, ""
    if re.fullmatch(r"\d{1,5}(\.\d{1,3})?", text) and float(text) > 0:
        return float(text), ""
    return 0.0, f"{name} is a number of messages per second, such as 10 or 0.5."
