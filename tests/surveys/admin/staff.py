"""Members of staff in the groups that are there from the start, and forms as a browser would send them."""

import itertools
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from surveys.models import StandardGroup

_names = itertools.count(1)


def sign_in_as(*keys: str, superuser: bool = False) -> Client:
    """A browser of somebody in these standard groups."""
    user = User.objects.create_user(f"member-{next(_names)}", password="x", is_staff=True, is_superuser=superuser)
    user.groups.set([StandardGroup.objects.get(key=key).group for key in keys])
    client = Client()
    client.force_login(user)
    client.user = user  # type: ignore[attr-defined]
    return client


class _Fields(HTMLParser):
    """What a browser would send of a page's fields, unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.select: str | None = None
        self.first_option: str | None = None
        self.area: str | None = None
        self.outside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "template":
            self.outside += 1
        if self.outside or "disabled" in given:
            return
        if tag == "input" and name:
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio") and "checked" not in given:
                return
            if kind not in ("submit", "button"):
                self.add(name, given.get("value") or ("on" if kind == "checkbox" else ""))
        elif tag == "textarea" and name:
            self.area = name
            self.add(name, "")
        elif tag == "select" and name:
            self.select, self.first_option = name, None
        elif tag == "option" and self.select:
            value = given.get("value") or ""
            if "selected" in given:
                self.add(self.select, value)
                self.first_option = ""
                self.select = None
            elif self.first_option is None:
                self.first_option = value

    def handle_data(self, data: str) -> None:
        if self.area and not self.outside:
            self.found[self.area][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self.outside -= 1
        if tag == "textarea" and self.area:
            self.found[self.area][-1] = self.found[self.area][-1].removeprefix("\n")
            self.area = None
        if tag == "select":
            if self.select and self.first_option is not None:
                self.add(self.select, self.first_option)
            self.select = None

    def add(self, name: str, value: str) -> None:
        self.found.setdefault(name, []).append(value)


def fields_of(page: str) -> dict[str, list[str]]:
    reader = _Fields()
    reader.feed(page)
    return {name: values for name, values in reader.found.items() if "__prefix__" not in name}


def send(client: Client, path: str, **changes: Any) -> Any:
    """Open the page, change these fields, press Save. None takes a field away, a list gives several values."""
    shown = client.get(path)
    assert shown.status_code == 200, (path, shown.status_code)
    data = fields_of(shown.content.decode())
    for name, value in changes.items():
        if value is None:
            data.pop(name, None)
        else:
            data[name] = value if isinstance(value, list) else [str(value)]
    data.pop("next", None)  # of the language switch, a form of its own, which also has a language
    if len(data.get("language", [])) > 1:
        data["language"] = data["language"][-1:]  # the page has one, too
    elif "language" not in changes:
        data.pop("language", None)
    return client.post(path, data)


def errors_in(response: Any) -> str:
    """What the page says is wrong."""
    assert response.status_code in (200, 422), (response.status_code, response.get("Location"))
    context = response.context
    found: list[str] = []
    if "adminform" in context:
        found += [str(text) for texts in context["adminform"].form.errors.values() for text in texts]
    for formset in context.get("inline_admin_formsets", []) or []:
        found += [str(text) for errors in formset.formset.errors for texts in errors.values() for text in texts]
    if context.get("form_set") is not None:
        found += [str(text) for errors in context["form_set"].errors for texts in errors.values() for text in texts]
        found += [str(text) for text in context["wrong"]]
    return " | ".join(found)
