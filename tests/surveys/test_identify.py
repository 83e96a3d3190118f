"""Whom a token names: only what one of our secrets signed, in its time, is believed."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest

from surveys.flow.identify import (
    EXPIRED,
    UNKNOWN,
    BadToken,
    FormerStands,
    drop_former_secret,
    read_token,
    renew_secret,
)
from surveys.flow.programme import export_programme
from surveys.models import IdentitySecret
from tests.concurrency import together
from tests.factories import NOW, make_organisation

pytestmark = pytest.mark.django_db
KEY = "the-public-key"
AT = int(NOW.timestamp())
HOUR = 3600


@pytest.fixture
def secret() -> str:
    make_organisation()
    return renew_secret(NOW).secret


def token(secret: str, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {"sub": "C-42", "exp": AT + HOUR, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, secret, algorithm=algorithm, headers=headers)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(secret: str, header: Any, claims: Any, digest: Any = hashlib.sha256) -> str:
    """A token that no library would make."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def refused(text: str, key: str = KEY) -> str:
    with pytest.raises(BadToken) as found:
        read_token(text, key, NOW)
    return found.value.reason


def test_a_signed_token_names_its_customer(secret):
    assert read_token(token(secret), KEY, NOW) == "C-42"
    assert read_token(token(secret, sub="顾客-7", iat=AT, iss="shop", name="Li"), KEY, NOW) == "顾客-7"
    assert read_token(by_hand(secret, {"alg": "HS256"}, {"sub": "C-1", "exp": AT + 1.5}), KEY, NOW) == "C-1"


def test_another_secret_and_a_changed_token_are_refused(secret):
    assert refused(token("x" * 43)) == UNKNOWN
    header, _claims, signature = token(secret).split(".")
    assert refused(f"{header}.{part({'sub': 'C-43', 'exp': AT + HOUR})}.{signature}") == UNKNOWN
    assert refused(token(secret)[:-2]) == UNKNOWN
    assert refused(f"{header}.{_claims}.") == UNKNOWN


def test_no_other_algorithm_is_believed_whatever_the_token_says(secret):
    claims = {"sub": "C-42", "exp": AT + HOUR}
    assert refused(jwt.encode(claims, None, algorithm="none")) == UNKNOWN
    for name in ("none", "None", "NONE", "", None, 256, ["HS256"]):
        assert refused(f"{part({'alg': name})}.{part(claims)}.") == UNKNOWN
        assert refused(by_hand(secret, {"alg": name}, claims)) == UNKNOWN
    assert refused(token(secret * 2, "HS512")) == UNKNOWN
    assert refused(by_hand(secret, {"alg": "HS512"}, claims, hashlib.sha512)) == UNKNOWN
    assert refused(by_hand(secret, {"typ": "JWT"}, claims)) == UNKNOWN


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "x" * 5000, "é.é.é", "\x00", "[]", '{"payload": ""}', "=.=.=", "e30.e30.e30", "\ud800"],
)
def test_what_is_no_token_is_refused_without_a_fault(secret, text):
    assert refused(text) == UNKNOWN


@pytest.mark.parametrize("claims", [[], "text", 7, None, {}, {"sub": "C-1"}, {"exp": AT + HOUR}])
def test_claims_of_another_shape_are_refused(secret, claims):
    assert refused(by_hand(secret, {"alg": "HS256"}, claims)) == UNKNOWN


def test_a_time_without_end_is_refused(secret):
    for exp in ("tomorrow", str(AT + HOUR), True, [AT], {}, 1e300, float("inf"), float("nan")):
        assert refused(by_hand(secret, {"alg": "HS256"}, {"sub": "C-1", "exp": exp})) == UNKNOWN
    assert refused(by_hand(secret, {"alg": "HS256"}, {"sub": "C-1", "exp": None})) == UNKNOWN


def test_an_expired_token_is_told_apart_with_a_minutes_leeway(secret):
    assert refused(token(secret, exp=AT - 60)) == EXPIRED
    assert read_token(token(secret, exp=AT - 59), KEY, NOW) == "C-42"
    assert refused(token(secret, exp=0)) == EXPIRED
    assert refused(token("x" * 43, exp=AT - HOUR)) == UNKNOWN  # a stranger's is not even expired


def test_a_token_that_lives_longer_than_a_day_is_refused(secret):
    assert read_token(token(secret, exp=AT + 24 * HOUR + 60), KEY, NOW) == "C-42"
    assert refused(token(secret, exp=AT + 24 * HOUR + 61)) == UNKNOWN


def test_a_token_before_its_time_is_refused(secret):
    assert read_token(token(secret, nbf=AT + 60), KEY, NOW) == "C-42"
    assert refused(token(secret, nbf=AT + 61)) == UNKNOWN
    assert refused(by_hand(secret, {"alg": "HS256"}, {"sub": "C-1", "exp": AT + HOUR, "nbf": "now"})) == UNKNOWN


def test_a_token_for_another_touchpoint_is_refused(secret):
    assert read_token(token(secret, aud=KEY), KEY, NOW) == "C-42"
    assert read_token(token(secret, aud=["another", KEY]), KEY, NOW) == "C-42"
    for audience in ("another", "", [], ["another"], [7], 7, {KEY: 1}):
        assert refused(by_hand(secret, {"alg": "HS256"}, {"sub": "C-1", "exp": AT + HOUR, "aud": audience})) == UNKNOWN


@pytest.mark.parametrize("sub", ["", " ", "x" * 201, "a\x00b", "\ud800", 7, ["C-1"], {}, True])
def test_a_customer_that_cannot_be_stored_is_refused(secret, sub):
    assert refused(by_hand(secret, {"alg": "HS256"}, {"sub": sub, "exp": AT + HOUR})) == UNKNOWN


def test_the_longest_id_is_believed(secret):
    assert read_token(token(secret, sub="x" * 200), KEY, NOW) == "x" * 200


def test_without_a_secret_nobody_is_believed():
    make_organisation()
    assert refused(token("x" * 43)) == UNKNOWN
    assert refused(by_hand("", {"alg": "HS256"}, {"sub": "C-1", "exp": AT + HOUR})) == UNKNOWN


def test_a_renewed_secret_leaves_the_former_valid_until_it_is_dropped(secret):
    newer = renew_secret(NOW + timedelta(days=1)).secret
    assert newer != secret
    assert read_token(token(secret), KEY, NOW) == read_token(token(newer), KEY, NOW) == "C-42"
    with pytest.raises(FormerStands):
        renew_secret(NOW)
    assert drop_former_secret()
    assert refused(token(secret)) == UNKNOWN
    assert read_token(token(newer), KEY, NOW) == "C-42"
    assert not drop_former_secret()
    assert IdentitySecret.objects.get().secret == newer


@pytest.mark.django_db(transaction=True)
def test_renewing_at_once_makes_one_former_and_not_two():
    make_organisation()
    renew_secret(NOW)

    def renew(_index: int) -> bool:
        try:
            renew_secret(NOW)
        except FormerStands:
            return False
        return True

    assert sorted(together(4, renew)) == [False, False, False, True]
    assert IdentitySecret.objects.count() == 2


def test_when_a_secret_was_last_used_is_known_to_the_hour(secret):
    row = IdentitySecret.objects.get()
    assert row.used_at is None
    refused(token("x" * 43))
    row.refresh_from_db()
    assert row.used_at is None
    for minutes, known in ((0, 0), (59, 0), (60, 60)):
        at = NOW + timedelta(minutes=minutes)
        read_token(token(secret, exp=AT + 2 * HOUR), KEY, at)
        row.refresh_from_db()
        assert row.used_at == NOW + timedelta(minutes=known)


def test_the_secret_stands_in_no_export(secret):
    assert secret not in export_programme()
    assert secret not in str(IdentitySecret.objects.get())
