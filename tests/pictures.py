"""Pictures for docs/, taken by tests of pages as they are. With CX_UPDATE_IMAGES=1 they go to docs/images/, else to test-artifacts/."""

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MOST = 25_000  # bytes of a picture: whoever fetches the source fetches it
COLOURS = 24  # enough for a page of one accent, and small
GAP = 24


def taken(page: Any) -> Image.Image:
    """What a Chromium page shows now."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def beside(shots: list[Image.Image]) -> Image.Image:
    """Shots of one height, from left to right."""
    sheet = Image.new("RGB", (sum(one.width for one in shots) + GAP * (len(shots) - 1), shots[0].height), "#8a929c")
    at = 0
    for one in shots:
        sheet.paste(one, (at, 0))
        at += one.width + GAP
    return sheet


def keep(picture: Image.Image, name: str) -> None:
    folder = ROOT / ("docs/images" if os.environ.get("CX_UPDATE_IMAGES") else "test-artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    flat = picture.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    flat.save(path, lossless=True, quality=100, method=6)
    assert 2_000 < path.stat().st_size <= MOST, f"{name}: {path.stat().st_size} bytes"
