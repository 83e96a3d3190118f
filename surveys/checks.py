"""What is wrong with the ways out, said at start. In: settings. Out: Django's check messages; nothing is sent to try.

`manage.py check`, every command, and script/server, which does not start with an error among them. A process that is started in
another way goes on: what cannot leave waits.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.mail import get_connection
from django.core.validators import validate_email

from surveys.channels import sms
from surveys.channels.email import tracking

CARRIERS = "carriers"


@register(CARRIERS)
def check_email_url(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """EMAIL_URL is understood, and what its provider needs is installed and given."""
    if settings.CX_EMAIL_PROBLEM:
        return [Error(settings.CX_EMAIL_PROBLEM, id="cxsurvey.E001")]
    found: list[CheckMessage] = []
    if settings.CX_EMAIL_PROVIDER:
        try:
            get_connection(settings.EMAIL_BACKEND)
        except (ImproperlyConfigured, ImportError) as error:
            return [Error(f"EMAIL_URL cannot be used: {' '.join(str(error).split())}", id="cxsurvey.E002")]
        found += _check_webhooks(settings.CX_EMAIL_PROVIDER)
    return found


def _check_webhooks(provider: str) -> list[CheckMessage]:
    if not settings.CX_EMAIL_IS_HEARD:
        hint = "What it posts needs a proof, which EMAIL_URL names: docs/email.md says which."
        return [
            Warning(f"Bounces and complaints are not heard of by way of {provider}.", hint=hint, id="cxsurvey.W001")
        ]
    try:
        tracking.view()()  # type: ignore[misc]
    except (ImproperlyConfigured, ImportError, ValueError) as error:
        return [Error(f"EMAIL_URL cannot be used: {' '.join(str(error).split())}", id="cxsurvey.E002")]
    return []


@register(CARRIERS)
def check_sms_url(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """SMS_URL, and the file that it names, are understood."""
    try:
        sms.read_url(settings.SMS_URL, settings.BASE_URL)
    except ImproperlyConfigured as error:
        return [Error(str(error), id="cxsurvey.E003")]
    return []


@register(CARRIERS)
def check_rates(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """EMAIL_RATE and SMS_RATE are numbers."""
    return [Error(problem, id="cxsurvey.E004") for problem in settings.CX_RATE_PROBLEMS]


@register(CARRIERS)
def check_unsubscribe_mailto(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """UNSUBSCRIBE_MAILTO is one address, bare: it goes into a header as it stands."""
    try:
        if settings.UNSUBSCRIBE_MAILTO:
            validate_email(settings.UNSUBSCRIBE_MAILTO)
    except ValidationError:
        said = f"UNSUBSCRIBE_MAILTO is one email address, not “{settings.UNSUBSCRIBE_MAILTO}” (docs/email.md)."
        return [Error(said, id="cxsurvey.E005")]
    return []
