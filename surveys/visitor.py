"""Whose browser asks. In: a request. Out: an IP address as text, used at once and kept nowhere."""

from ipaddress import ip_address

from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """Behind a proxy of ours, which alone has a private address (or a socket's none), it is the one that the proxy saw."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    try:
        is_proxy = ip_address(peer).is_private
    except ValueError:
        is_proxy = True
    seen_by_proxy = request.headers.get("X-Forwarded-For", "").rsplit(",", 1)[-1].strip()
    return seen_by_proxy if is_proxy and seen_by_proxy else peer
