"""PURE: texts in several languages, as maps of BCP 47 tag to string. In: a map and a language. Out: one string."""

import re
from collections.abc import Iterable, Mapping


def normalise_tag(tag: str) -> str:
    """BCP 47 tag in lower case with `-`; the regional Chinese tags become script tags.

    >>> normalise_tag("zh_CN"), normalise_tag("en-GB"), normalise_tag("zh")
    ('zh-hans', 'en-gb', 'zh-hans')
    """
    tag = tag.strip().lower().replace("_", "-")
    if tag in ("zh", "zh-cn", "zh-sg", "zh-my") or tag.startswith("zh-hans"):
        return "zh-hans"
    if tag in ("zh-tw", "zh-hk", "zh-mo") or tag.startswith("zh-hant"):
        return "zh-hant"
    return tag


def match_language(wanted: str, available: Iterable[str]) -> str | None:
    """The available tag that serves `wanted`: itself, else its base language ("en-gb" -> "en"); None where neither is."""
    tags = list(available)
    tag = normalise_tag(wanted)
    if tag in tags:
        return tag
    base = tag.split("-")[0]
    if base in tags:
        return base
    return next((other for other in tags if other.split("-")[0] == base and base != "zh"), None)


def accepted_languages(header: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first; what cannot be read is left out.

    >>> accepted_languages("de;q=0.5, fr-CH, en;q=x, *;q=0")
    ['fr-CH', 'de']
    """
    found = []
    for part in header[:500].split(","):
        tag, _semicolon, share = part.partition(";")
        try:
            weight = float(share.partition("=")[2]) if share.strip() else 1.0
        except ValueError:
            continue
        if tag.strip() and weight > 0:
            found.append((weight, tag.strip()))
    return [tag for _weight, tag in sorted(found, key=lambda item: -item[0])]


def pick(texts: Mapping[str, str], language: str, fallbacks: Iterable[str] = ("en",)) -> str:
    """The text for `language`, else for the first fallback that has one, else any; "" for an empty map."""
    return texts.get(picked_language(texts, language, fallbacks), "")


def picked_language(texts: Mapping[str, str], language: str, fallbacks: Iterable[str] = ("en",)) -> str:
    """The tag of the text that `pick` picks; "" where there is none."""
    for tag in (language, *fallbacks):
        found = match_language(tag, texts)
        if found is not None and texts[found]:
            return found
    return next((tag for tag, text in texts.items() if text), "")


def fill(text: str, /, **names: str) -> str:
    """`text` with {organisation} and the like replaced; any other brace stays as it is, those in a name too."""
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), text)
