"""Whether some bytes are a picture that may stand on respondents' pages as a logo. In: bytes. Out: what they are, or why not.

What a file is, its content says, not its name. PNG, JPEG and WebP are walked from end to end, so that nothing else hides in them.
An SVG is a program: only what draws is let in, and nothing that runs, moves, links or fetches. No picture is ever decoded here.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from xml.parsers import expat

from django.utils.translation import gettext as _

from surveys.models import Logo

MOST_BYTES = 100 * 1024
MOST_USES = 20  # copies of copies of copies of a shape are how a small drawing takes a browser's minutes
MOST_PIXELS = 4096  # of a side: a small file can be a huge picture

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
XML = "http://www.w3.org/XML/1998/namespace"
# What editors of drawings leave behind for themselves; browsers pass it over.
EDITORS = (
    *("http://www.inkscape.org/namespaces/inkscape", "http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd"),
    *("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://creativecommons.org/ns#", "http://web.resource.org/cc/"),
    *("http://purl.org/dc/elements/1.1/", "http://www.bohemiancoding.com/sketch/ns", "http://www.serif.com/"),
)
DRAWS = frozenset(
    (
        *("svg", "g", "defs", "title", "desc", "metadata", "path", "rect", "circle", "ellipse", "line"),
        *("polyline", "polygon", "text", "tspan", "textPath", "linearGradient", "radialGradient", "stop"),
        *("clipPath", "mask", "pattern", "symbol", "use", "image", "marker", "style", "switch", "view", "filter"),
        *("feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feConvolveMatrix"),
        *("feDiffuseLighting", "feDisplacementMap", "feDistantLight", "feDropShadow", "feFlood", "feFuncA"),
        *("feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feMerge", "feMergeNode", "feMorphology"),
        *("feOffset", "fePointLight", "feSpecularLighting", "feSpotLight", "feTile", "feTurbulence"),
    )
)
_INSIDE = re.compile(r"#|data:image/(?:png|jpeg|webp);base64,", re.IGNORECASE)
_FETCHES = re.compile(
    r"@import|@charset|@font-face|image-set|src\s*\(|expression|behavior|-moz-binding|javascript:|\\", re.IGNORECASE
)
_URL = re.compile(r"url\s*\(\s*[\"']?\s*([^)]*)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(px|pt|pc|mm|cm|in|em|rem|ex)?\s*")
_IN_PX = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}


@dataclass(frozen=True, slots=True)
class Picture:
    content_type: str
    width: int  # in pixels; of an SVG, of one unit each
    height: int


class LogoError(ValueError):
    """Why some bytes cannot be a logo, for people."""


def read_logo(data: bytes) -> Picture:
    """What the bytes are. LogoError where they are too many, no picture of a kind that we show, broken, or not harmless."""
    if not data:
        raise LogoError(_("The file is empty."))
    if len(data) > MOST_BYTES:
        raise LogoError(
            _("The file has %(count)d KB; at most %(most)d fit.")
            % {"count": -(-len(data) // 1024), "most": MOST_BYTES // 1024}
        )
    try:
        picture = _read(data)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, LogoError):
            raise
        raise LogoError(_("The file is damaged or no picture.")) from None
    if not (0 < picture.width <= MOST_PIXELS and 0 < picture.height <= MOST_PIXELS):
        raise LogoError(
            _("The picture has %(width)d × %(height)d pixels; each side has 1 to %(most)d.")
            % {"width": picture.width, "height": picture.height, "most": MOST_PIXELS}
        )
    return picture


def keep_logo(data: bytes, picture: Picture) -> Logo:
    """The row of these bytes; a picture that was the logo before is there already."""
    values = {
        "content_type": picture.content_type,
        "data": data,
        "width": picture.width,
        "height": picture.height,
    }
    return Logo.objects.get_or_create(digest=sha256(data).hexdigest(), defaults=values)[0]


def _read(data: bytes) -> Picture:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture("image/png", *_png(data))
    if data.startswith(b"\xff\xd8\xff"):
        return Picture("image/jpeg", *_jpeg(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture("image/webp", *_webp(data))
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return Picture("image/svg+xml", *_svg(data))
    raise LogoError(_("This is no PNG, JPEG, WebP or SVG. What a file is, its content says, not its name."))


# --- Pictures of pixels -----------------------------------------------------------------------------------------------


def _png(data: bytes) -> tuple[int, int]:
    """Chunk after chunk, each with its checksum, up to the last byte (W3C, Portable Network Graphics, third edition)."""
    at, size = 8, (0, 0)
    kinds: list[bytes] = []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError("checksum")
        if not kinds:
            size = struct.unpack_from(">II", body)
        kinds.append(kind)
        at += 12 + length
        if kind == b"IEND":
            break
    if at != len(data) or kinds[0] != b"IHDR" or b"IDAT" not in kinds or kinds[-1] != b"IEND":
        raise ValueError("chunks")
    return size


# Frames, baseline to lossless; what has a number between is a table.
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def _jpeg(data: bytes) -> tuple[int, int]:
    """Segment after segment up to the first scan; what follows is pixels, and ends with the end's mark (ITU-T T.81)."""
    at, size = 2, (0, 0)
    while True:
        if data[at] != 0xFF:
            raise ValueError("marker")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        (length,) = struct.unpack_from(">H", data, at + 1)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 4)
            size = (width, height)
        if marker == 0xDA:
            break
        if length < 2:
            raise ValueError("length")
        at += 1 + length
    if not size[0] or not data.endswith(b"\xff\xd9"):
        raise ValueError("no frame or no end")
    return size


def _webp(data: bytes) -> tuple[int, int]:
    """Its length, and the size in whichever of the three headers it has (RFC 9649)."""
    if struct.unpack_from("<I", data, 4)[0] + 8 != len(data):
        raise ValueError("length")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("kind")


# --- Drawings ---------------------------------------------------------------------------------------------------------


def _svg(data: bytes) -> tuple[int, int]:
    reader = _Svg()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    parser.ProcessingInstructionHandler = reader.instruction
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        raise LogoError(_("The SVG is not well-formed.")) from None
    return reader.size


class _Svg:
    """Looks at a drawing while it is parsed; the first thing that only a program needs ends it."""

    def __init__(self) -> None:
        self.size = (0, 0)
        self._open: list[str] = []
        self._style: list[str] = []
        self._uses = 0

    def doctype(self, _name: str, _system: str | None, _public: str | None, has_subset: int) -> None:
        if has_subset:
            raise LogoError(_("The SVG declares entities, which can blow up a reader. Save it as plain SVG."))

    def entity(self, *_declared: object) -> None:
        raise LogoError(_("The SVG declares entities, which can blow up a reader. Save it as plain SVG."))

    def instruction(self, target: str, _text: str) -> None:
        raise _refused(f"<?{target}?>")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, local = _split(name)
        if not self._open:
            if (space, local) != (SVG, "svg"):
                raise LogoError(_("This is XML, but no SVG."))
            self.size = _size(attributes)
        self._open.append(local)
        if space != SVG:
            if space not in EDITORS:
                raise _refused(f"<{local}>")
        elif local not in DRAWS:
            raise _refused(f"<{local}>")
        self._uses += local == "use"
        if self._uses > MOST_USES:
            raise LogoError(_("The SVG copies shapes more than %(count)d times.") % {"count": MOST_USES})
        for key, value in attributes.items():
            _check_attribute(*_split(key), value)

    def text(self, text: str) -> None:
        if self._open[-1:] == ["style"]:
            self._style.append(text)

    def end(self, _name: str) -> None:
        if self._open.pop() == "style":
            _check_style("".join(self._style))
            self._style.clear()


def _check_attribute(space: str, name: str, value: str) -> None:
    lowered = name.lower()
    if lowered.startswith("on") and space not in EDITORS:
        raise _refused(f"{name}=")
    if lowered in ("href", "src") and space not in EDITORS:
        if value.strip() and not _INSIDE.match(value.strip()):
            raise _refused(f"{name}=“{value[:60]}”")
    elif space in ("", SVG):
        _check_style(value) if lowered == "style" else _check_urls(value)
    if space == XML and lowered == "base":
        raise _refused("xml:base")


def _check_style(text: str) -> None:
    found = _FETCHES.search(text)
    if found:
        raise _refused(found[0])
    _check_urls(text)


def _check_urls(text: str) -> None:
    """What a value fetches: only parts of the drawing itself, and pictures that stand in it."""
    if "\\" in text:
        raise _refused("\\")  # a way to spell url() otherwise
    for target in _URL.findall(text):
        if not _INSIDE.match(target):
            raise _refused(f"url({target[:60]})")
    if "javascript:" in re.sub(r"[\s\x00-\x20]", "", text).lower():
        raise _refused("javascript:")


def _refused(what: str) -> LogoError:
    return LogoError(_("The SVG has %(what)s, which a logo does not need. Save it as plain SVG.") % {"what": what})


def _split(name: str) -> tuple[str, str]:
    space, _gap, local = name.rpartition(" ")
    return space, local


def _size(attributes: dict[str, str]) -> tuple[int, int]:
    """As width and height have it, else the viewBox; a share of the page says nothing."""
    sides = [_side(attributes.get(name, "")) for name in ("width", "height")]
    box = [float(part) for part in re.split(r"[\s,]+", attributes.get("viewBox", "").strip()) if part]
    width, height = box[2:] if len(box) == 4 else (0.0, 0.0)
    if sides[0] and sides[1]:
        width, height = sides
    elif sides[0] and width:
        width, height = sides[0], sides[0] * height / width
    elif sides[1] and height:
        width, height = sides[1] * width / height, sides[1]
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise LogoError(_("The SVG says no size: it needs width and height, or a viewBox."))
    return tuple(_fitting((width, height)))  # type: ignore[return-value]


def _fitting(sides: tuple[float, float]) -> Iterator[int]:
    """A drawing has no pixels of its own: a huge one is told smaller, in the same shape."""
    scale = min(1.0, MOST_PIXELS / max(sides))
    return (max(1, round(side * scale)) for side in sides)


def _side(text: str) -> float:
    found = _LENGTH.fullmatch(text)
    return float(found[1]) * _IN_PX.get(found[2] or "", 16.0) if found else 0.0
