"""Compiles `.po` to `.mo` where the `.po` is newer, so that no gettext tools are needed. The `.mo` are not in the repository."""

from pathlib import Path

import polib


def compile_stale(locale_dir: Path) -> list[Path]:
    """Returns the files written. Safe beside another process that does the same."""
    written = []
    for source in sorted(locale_dir.glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        partial = target.with_suffix(".mo.new")
        polib.pofile(str(source)).save_as_mofile(str(partial))
        partial.replace(target)
        written.append(target)
    return written
