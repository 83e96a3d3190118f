"""API keys: hashed, scoped, shown once."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

SCOPES = (
    "events:write",
    "responses:write",
    "responses:read",
    "metrics:read",
    "customers:read",
    "customers:write",
)


def validate_scopes(scopes: Any) -> None:
    if not isinstance(scopes, list) or not scopes or any(scope not in SCOPES for scope in scopes):
        raise ValidationError(_("Scopes are some of: %(scopes)s."), params={"scopes": ", ".join(SCOPES)})


class ApiKey(AbstractAPIKey):
    """One row per key of another system. Only its hash is kept."""

    scopes = models.JSONField(_("scopes"), default=list, validators=[validate_scopes])

    class Meta(AbstractAPIKey.Meta):
        verbose_name = _("API key")  # type: ignore[assignment]
        verbose_name_plural = _("API keys")  # type: ignore[assignment]
