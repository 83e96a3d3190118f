"""One HTTP call to a provider. In: a request. Out: its answer, or the Outcome where there is none to speak of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from surveys.letters import Outcome

TIMEOUT = (5, 10)  # to connect, and between two bytes; flow/deliver.py's lease must outlast them
DETAIL_MAX = 500
ABOUT_US = frozenset(
    {401, 402, 403, 404, 405, 407}
)  # the account, its money, the address of the service: no fault of a number
RETRY_MAX_S = 86_400


def post(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    params: Any = None,
    auth: tuple[str, str] | None = None,
) -> requests.Response | Outcome:
    """The answer, whose status may still be one of 200 to 499; an Outcome where the provider is away, busy or refuses us.

    Redirects are not followed: a POST would become a GET, and a token would be carried elsewhere.
    """
    try:
        answer = session.request(
            method, url, headers=headers, data=data, params=params, auth=auth, timeout=TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as error:
        # Without its words: they quote the address with what stands in it.
        said_nothing = f"{type(error).__name__}: the provider does not answer"
        return Outcome("temporary", said_nothing, carrier_away=True, in_doubt=_was_handed_over(error))
    if answer.status_code == 429:
        return Outcome("temporary", said(answer), carrier_away=True, retry_after_s=retry_after_s(answer))
    if answer.status_code >= 500 or 300 <= answer.status_code < 400 or answer.status_code in ABOUT_US:
        return Outcome("temporary", said(answer), carrier_away=True, retry_after_s=retry_after_s(answer))
    return answer


def said(answer: requests.Response) -> str:
    """The status and the beginning of the body, for staff."""
    return f"{answer.status_code} {' '.join(answer.text[:DETAIL_MAX].split())}"[:DETAIL_MAX].rstrip()


def _was_handed_over(error: requests.RequestException) -> bool:
    """Whether the provider may have the message: there was a connection, and it was lost or silent after the request."""
    cause = error.args[0] if error.args else None
    late = requests.ReadTimeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError
    return isinstance(error, late) or isinstance(cause, urllib3.exceptions.ProtocolError)


def wrong(answer: requests.Response) -> Outcome:
    """An answer that is not in the provider's form: nobody knows what became of the message, if it was not refused."""
    detail = f"Not understood: {said(answer)}"[:DETAIL_MAX]
    return Outcome("temporary", detail, carrier_away=True, in_doubt=answer.ok)


def json_of(answer: requests.Response) -> Any:
    """The document, or None where the body is none."""
    try:
        return answer.json()
    except ValueError:
        return None


def retry_after_s(answer: requests.Response) -> int:
    """Seconds of Retry-After, given as a number or a date (RFC 9110); 0 where there is none."""
    given = answer.headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return min(int(given[:9]), RETRY_MAX_S)
    try:
        now = parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else datetime.now(UTC)
        seconds = (parsedate_to_datetime(given) - now).total_seconds()
    except (ValueError, TypeError):
        return 0
    return int(min(max(seconds, 0), RETRY_MAX_S))
