"""What documents print, so that tests can run it as it stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def blocks(page: str, language: str = "sh", *, section: str = "") -> list[str]:
    """The page's ``` blocks in this language, in order; of one `## section` alone where it is named."""
    text = (ROOT / page).read_text()
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def indented(page: str, beginning: str) -> str:
    """The page's indented block whose first line begins so, without its indent."""
    found = re.search(rf"^ {{4}}{re.escape(beginning)}.*\n(?: {{4}}.*\n)*", (ROOT / page).read_text(), re.MULTILINE)
    assert found, f"{page} has no block that begins with {beginning!r}"
    return re.sub(r"^ {4}", "", found[0], flags=re.MULTILINE)
