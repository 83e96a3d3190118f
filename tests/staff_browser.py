"""Staff in Chromium: signing in, and what a page complains of."""

from typing import Any

NAME, PASSWORD = "boss", "a-long-password-1"


def sign_in(page: Any, site: str) -> None:
    """As the superuser NAME, whom the caller has made."""
    page.goto(f"{site}/admin/login/")
    page.fill("[name=username]", NAME)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{site}/admin/")


def complaints_of(page: Any, site: str) -> list[str]:
    """Errors, failed requests, and requests that leave the host, from now on."""
    found: list[str] = []
    page.on("console", lambda message: message.type in ("error", "warning") and found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda request: request.url.startswith((site, "data:")) or found.append(request.url))
    page.on("response", lambda answer: answer.status < 400 or found.append(f"{answer.status} {answer.url}"))
    return found
