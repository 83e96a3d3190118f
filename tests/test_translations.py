"""Every text for people exists in Simplified Chinese: ours, and those of the admin's theme, which ships no such catalogue.

Texts that Django brings in Chinese count as there. A failure lists what is missing as `file:line: text`; the cure is an entry
at the end of locale/zh_Hans/LC_MESSAGES/django.po.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import django
import polib
import unfold
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten, flatten_fieldsets
from django.contrib.auth.models import User
from django.db.models import Field
from django.test import RequestFactory
from django.utils import translation

from tests.messages import Message, marked_f_strings, messages_in, python_messages, template_messages

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"
OURS = [folder for name in ("cxsurvey", "surveys", "metrics", "templates") if (folder := ROOT / name).is_dir()]
UNFOLD = Path(unfold.__path__[0])
SITE = UNFOLD.parent

PLACEHOLDER = re.compile(r"%\(\w+\)[sdif]|%[sdif](?![\w(])|%%|\{\w*\}")
TAG = re.compile(r"</?[a-z]+[^>]*>")
CHINESE = re.compile(r"[㐀-鿿]")
WORD = re.compile(r"[A-Za-z]{3,}")
# Written the same in both languages.
SAME = {"NPS", "CSAT", "CES", "TTR", "URL", "ID", "API", "JSON", "Message-ID", "cxsurvey", "CES 2.0"}


@cache
def entries() -> dict[tuple[str, str], polib.POEntry]:
    return {(entry.msgctxt or "", entry.msgid): entry for entry in polib.pofile(str(CATALOGUE))}


@cache
def ours() -> tuple[Message, ...]:
    return tuple(messages_in(ROOT, *OURS))


@cache
def theirs() -> tuple[Message, ...]:
    """Unfold's own, and those of its contributed apps that are installed: no page can show another's."""
    installed = {Path(app.path) for app in apps.get_app_configs()}
    spare = {folder for folder in (UNFOLD / "contrib").iterdir() if folder not in installed}
    found = messages_in(SITE, UNFOLD)
    return tuple(message for message in found if not spare.intersection((SITE / message.place).parents))


@cache
def held_elsewhere() -> frozenset[tuple[str, str]]:
    """What Django itself and the installed apps of others bring in Simplified Chinese: it is found at run time as ours is."""
    folders = [Path(django.__path__[0]) / "conf", *(Path(app.path) for app in apps.get_app_configs())]
    catalogues = [path for folder in folders for path in folder.glob("locale/zh_Hans/LC_MESSAGES/django.mo")]
    return frozenset(
        (entry.msgctxt or "", entry.msgid)
        for path in catalogues
        if not path.is_relative_to(ROOT / "locale")
        for entry in polib.mofile(str(path))
        if entry.msgstr or entry.msgstr_plural
    )


def written(entry: polib.POEntry | None) -> list[str]:
    """The entry's Chinese texts; [] where one of them is empty."""
    if entry is None or entry.obsolete or "fuzzy" in entry.flags:
        return []
    texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
    return texts if all(text.strip() for text in texts) else []


def listed(messages: Iterable[Message]) -> str:
    return "\n".join(f"{message.place}: {message.id!r}" for message in messages)


def test_the_finder_sees_every_way_of_marking_a_text():
    source = 'class A:\n    x = _("one")\nngettext("two", "twos", n)\npgettext_lazy("a place", "three")\ntranslation.gettext("four")'
    found = sorted(python_messages(source, "a.py"), key=lambda message: message.place)
    assert [(m.context, m.id, m.plural, m.place) for m in found] == [
        ("", "one", "", "a.py:2"),
        ("", "two", "twos", "a.py:3"),
        ("a place", "three", "", "a.py:4"),
        ("", "four", "", "a.py:5"),
    ]
    page = (
        '{% load i18n %}{% translate "it\'s" %}\n{% translate ", " context "between" %}{{ x|default:_("none") }}\n'
        "{% blocktranslate count n=n %}{{ n }} row{% plural %}{{ n }} rows{% endblocktranslate %}"
    )
    assert [(m.context, m.id, m.plural, m.place) for m in template_messages(page, "a.html")] == [
        ("", "it's", "", "a.html:1"),
        ("between", ", ", "", "a.html:2"),
        ("", "none", "", "a.html:2"),
        ("", "%(n)s row", "%(n)s rows", "a.html:3"),
    ]


def test_no_text_of_ours_is_put_together_before_it_is_looked_up():
    assert list(marked_f_strings('_(f"{x} rows")', "a.py")) == ["a.py:1"]
    paths = [path for folder in OURS for path in folder.rglob("*.py")]
    found = [place for path in paths for place in marked_f_strings(path.read_text(), str(path.relative_to(ROOT)))]
    assert not found, "\n".join(found)


def without_chinese(messages: Iterable[Message]) -> list[Message]:
    known = held_elsewhere()
    found = {message.key: message for message in messages if message.key not in known}
    return [message for key, message in found.items() if not written(entries().get(key))]


def test_every_text_of_ours_has_a_chinese_one():
    missing = without_chinese(ours())
    assert not missing, listed(missing)


def test_every_text_of_the_theme_has_a_chinese_one():
    missing = without_chinese(theirs())
    assert not missing, listed(missing)


def test_a_chinese_text_keeps_placeholders_tags_and_line_ends():
    wrong = []
    for entry in entries().values():
        expected = [entry.msgid_plural or entry.msgid]
        for text in written(entry):
            for pattern in (PLACEHOLDER, TAG):
                if Counter(pattern.findall(text)) != Counter(pattern.findall(expected[0])):
                    wrong.append(f"{entry.msgid!r} -> {text!r}")
            if text.startswith("\n") != entry.msgid.startswith("\n") or text.endswith("\n") != entry.msgid.endswith(
                "\n"
            ):
                wrong.append(f"line ends: {entry.msgid!r} -> {text!r}")
    assert not wrong, "\n".join(wrong)


def test_chinese_texts_use_full_width_punctuation():
    """Half-width , ; : ! ? beside a Chinese character is a typing slip."""
    slip = re.compile(r"[㐀-鿿][,;:!?]|[,;!?][㐀-鿿]|[㐀-鿿]\.(?:\s|$)")
    wrong = [
        f"{entry.msgid!r} -> {text!r}" for entry in entries().values() for text in written(entry) if slip.search(text)
    ]
    assert not wrong, "\n".join(wrong)


# Values that end in a Chinese character where they stand in a sentence: "2 天", "3 小时", a change of TTR.
SPOKEN = ("p", "adjusted", "span", "duration", "age", "by", "change", "expected", "low", "high")
NUMBERS = {"A number from %(low)s to %(high)s is wanted here."}  # here low and high are plain numbers
STRAY = re.compile(rf"(?:[㐀-鿿，。：；！？、（）]|%\((?:{'|'.join(SPOKEN)})\)s) +[㐀-鿿]")


def test_no_space_stands_between_two_chinese_characters():
    assert STRAY.search("超过 %(span)s 未解决")
    assert not STRAY.search("超过 %(span)s未解决")
    wrong = [
        f"{entry.msgid!r} -> {text!r}"
        for entry in entries().values()
        if entry.msgid not in NUMBERS
        for text in written(entry)
        if STRAY.search(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_entry_stands_twice():
    keys = [(entry.msgctxt or "", entry.msgid) for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete]
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_no_entry_is_left_over():
    """An entry must translate something that one of the installed apps marks, ours first."""
    left = entries().keys() - {message.key for message in (*ours(), *theirs())}
    if left:
        folders = {Path(app.path) for app in apps.get_app_configs() if Path(app.path).is_relative_to(SITE)}
        left -= {message.key for message in messages_in(SITE, *sorted(folders))}
    assert not left, "\n".join(sorted(text for _context, text in left))


def _is_chinese(text: str) -> bool:
    return bool(CHINESE.search(text)) or text in SAME or not WORD.search(text)


def _shown_fields(model_admin: admin.ModelAdmin) -> set[str]:
    """Names of the fields that a list or a form of the admin shows to somebody who may do everything."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    named = {name for name in (*model_admin.list_display, *model_admin.readonly_fields) if isinstance(name, str)}
    if model_admin.fieldsets:
        return named | set(flatten_fieldsets(model_admin.fieldsets))
    if model_admin.fields:
        return named | set(flatten(model_admin.fields))
    if not model_admin.has_change_permission(request):
        return named
    return named | {field.name for field in model_admin.model._meta.fields if field.editable and field.name != "id"}


def _is_inherited(field: Field) -> bool:
    """Whether it comes from an abstract model of a library, whose names the admin replaces by its own labels."""
    bases = [base for base in field.model.__mro__[1:] if hasattr(base, "_meta") and base._meta.abstract]
    theirs = [base for base in bases if not base.__module__.startswith(("surveys.", "metrics."))]
    return any(field.name in {held.name for held in base._meta.fields} for base in theirs)


def test_every_name_of_ours_in_the_admin_is_shown_in_chinese():
    """Names of models and fields, help texts and choices: one that nobody marked would come out in English."""
    english = []
    with translation.override("zh-hans"):
        for model, model_admin in admin.site._registry.items():
            meta = model._meta
            app = apps.get_app_config(meta.app_label)
            if not Path(app.path).is_relative_to(ROOT) or Path(app.path).is_relative_to(SITE):
                continue
            names = [(f"{app.label}/apps.py", str(app.verbose_name))]
            names += [(meta.label, str(meta.verbose_name)), (meta.label, str(meta.verbose_name_plural))]
            for field in meta.fields:
                if field.name not in _shown_fields(model_admin) or _is_inherited(field):
                    continue
                place = f"{meta.label}.{field.name}"
                names += [(place, str(field.verbose_name)), (f"{place} help", str(field.help_text))]
                names += [(f"{place} choice", str(text)) for _value, text in field.choices or ()]
            english += [f"{place}: {text!r}" for place, text in names if not _is_chinese(text)]
    assert not english, "\n".join(dict.fromkeys(english))


class _BareWords(HTMLParser):
    """Words of a template that no tag marks for translation."""

    SPOKEN = ("aria-label", "title", "alt", "placeholder")
    SILENT = ("style", "script", "code", "pre")
    KEY = re.compile(r"[a-z_.]+")  # as a placeholder: an example of a key or an event type, in any language

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._silent = 0
        self._icon = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = dict(attrs).get("class") or ""
        self._icon = "material-symbols" in classes  # an icon's name, which a font draws
        self._silent += tag in self.SILENT
        for name, value in attrs:
            if name in self.SPOKEN and not (name == "placeholder" and self.KEY.fullmatch(value or "")):
                self._note(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._icon = False
        self._silent -= tag in self.SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent and not self._icon:
            self._note(data)

    def _note(self, text: str) -> None:
        if any(word not in SAME for word in WORD.findall(text)):
            self.found.append((self.getpos()[0], " ".join(text.split())))


def bare_words(source: str) -> list[tuple[int, str]]:
    """(line, text) of what would be shown in English whatever the language; lines are those of the source."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    source = re.sub(r"{% *comment.*?endcomment *%}", blank, source, flags=re.DOTALL)
    source = re.sub(r"{% *blocktrans(?:late)?\b.*?endblocktrans(?:late)? *%}", blank, source, flags=re.DOTALL)
    source = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", blank, source, flags=re.DOTALL)
    parser = _BareWords()
    parser.feed(source)
    return parser.found


def test_no_template_of_ours_has_words_that_are_not_marked():
    assert bare_words('<p title="{{ x }}">{% translate "Hello" %}</p>\n<a title="Look">NPS</a>') == [(2, "Look")]
    wrong = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        wrong += [f"{path.relative_to(ROOT)}:{line}: {text!r}" for line, text in bare_words(path.read_text())]
    assert not wrong, "\n".join(wrong)
