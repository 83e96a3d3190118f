"""Who is looking, on the word of the site's own server. In: a JSON Web Token. Out: an external id, or why it is not believed.

A token is believed if one of the organisation's identity secrets signed it with HMAC-SHA-256 and nothing else: whatever the token
itself says of algorithms is not asked. The secrets are made, renewed and dropped here; they go nowhere but to the page of those
who may see them. PyJWT checks shape and signature; times are held against `now`.
"""

import math
from datetime import datetime, timedelta
from typing import Any

import jwt
from django.db import transaction
from django.db.models import Q

from surveys.models import IdentitySecret, Organisation
from surveys.models.widget import make_secret

ALGORITHMS = ["HS256"]
AHEAD = timedelta(hours=24)  # a token that leaks is worth nothing a day later
LEEWAY = timedelta(seconds=60)  # clocks of two servers
SUB_MAX = 200  # of Customer.external_id
USED_STEP = timedelta(hours=1)

UNKNOWN, EXPIRED = "unknown_token", "expired_token"
# Times and the audience are checked below.
_OPTIONS: Any = {
    "require": ["exp", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


class BadToken(Exception):
    """Not believed. `reason` is UNKNOWN or EXPIRED; `detail` is for whoever builds the site."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class FormerStands(Exception):
    """A former secret is still valid: it is dropped before another one becomes the former."""


def read_token(token: str, public_key: str, now: datetime) -> str:
    """The external id that a token vouches for, at the touchpoint with this key. BadToken where it is not to be believed."""
    claims = _signed_claims(token, now)
    exp, nbf, sub = claims["exp"], claims.get("nbf"), claims["sub"]
    if not _is_time(exp) or not (nbf is None or _is_time(nbf)):
        raise BadToken(UNKNOWN, "exp is not a number of seconds")
    at = now.timestamp()
    leeway = LEEWAY.total_seconds()
    if exp + leeway <= at:
        raise BadToken(EXPIRED, "exp is over")
    if exp - leeway > at + AHEAD.total_seconds():
        raise BadToken(UNKNOWN, "exp is more than 24 hours ahead")
    if nbf is not None and nbf - leeway > at:
        raise BadToken(UNKNOWN, "nbf is not reached yet")
    if "aud" in claims:
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if public_key not in audience:
            raise BadToken(UNKNOWN, "aud is not this touchpoint's public key")
    if not isinstance(sub, str) or not 0 < len(sub) <= SUB_MAX or not _is_storable(sub):
        raise BadToken(UNKNOWN, f"sub is not a text of 1 to {SUB_MAX} characters")
    return sub


def _signed_claims(token: str, now: datetime) -> dict[str, Any]:
    """What a token says, if one of the secrets signed it."""
    if not token.isascii():
        raise BadToken(UNKNOWN, "it is no JSON Web Token")
    held = list(IdentitySecret.objects.all())
    for row in held:
        try:
            claims: dict[str, Any] = jwt.decode(token, row.secret, algorithms=ALGORITHMS, options=_OPTIONS)
        except jwt.InvalidSignatureError:
            continue
        except jwt.MissingRequiredClaimError as error:
            raise BadToken(UNKNOWN, f"{error.claim} is missing") from None
        except (jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
            raise BadToken(UNKNOWN, "it is not signed with HS256") from None
        # PyJWT's own, and what its decoders of base64 and JSON may let through: whoever wrote it is not one of ours.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise BadToken(UNKNOWN, "it is no JSON Web Token") from None
        _note_used(row, now)
        return claims
    raise BadToken(UNKNOWN, "another secret signed it" if held else "there is no identity secret yet")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value < 1e12


def _is_storable(text: str) -> bool:
    return (
        "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text) and text.strip() != ""
    )


def _note_used(row: IdentitySecret, now: datetime) -> None:
    if row.used_at is None or row.used_at <= now - USED_STEP:
        stale = Q(used_at__isnull=True) | Q(used_at__lte=now - USED_STEP)
        IdentitySecret.objects.filter(stale, pk=row.pk).update(used_at=now)


def renew_secret(now: datetime) -> IdentitySecret:
    """A new secret; the one that stood before stays valid beside it. FormerStands where there is a former one already."""
    with transaction.atomic():
        _lock()
        if IdentitySecret.objects.count() > 1:
            raise FormerStands
        return IdentitySecret.objects.create(secret=make_secret(), created_at=now)


def drop_former_secret() -> bool:
    """What a former secret signs is not believed any more, from now on. False where there is none."""
    with transaction.atomic():
        _lock()
        former = [row.pk for row in IdentitySecret.objects.all()[1:]]
        return IdentitySecret.objects.filter(pk__in=former).delete()[0] > 0


def _lock() -> None:
    """One change at a time: two people who press at once do not make two."""
    Organisation.objects.select_for_update(no_key=True).get(pk=Organisation.current().pk)
