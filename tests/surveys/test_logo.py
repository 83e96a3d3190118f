"""What may be a logo: real pictures of each kind, and every way that we know of in which a file is none or is more than that."""

import io
import struct

import pytest
from PIL import Image

from surveys.flow.logo import MOST_BYTES, LogoError, Picture, read_logo

SIZE = (120, 40)


def picture(kind: str, size: tuple[int, int] = SIZE, **options) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", size, "#0f766e").save(held, kind, **options)
    return held.getvalue()


def svg(inside: str = "<path d='M0 0h9'/>", attributes: str = "width='120' height='40'", before: str = "") -> bytes:
    names = "xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'"
    return f"{before}<svg {names} {attributes}>{inside}</svg>".encode()


def rgba(kind: str, **options) -> bytes:
    held = io.BytesIO()
    Image.new("RGBA", SIZE, (15, 118, 110, 128)).save(held, kind, **options)
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (picture("PNG"), "image/png"),
        (rgba("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG", progressive=True), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("WEBP", lossless=True), "image/webp"),
        (rgba("WEBP"), "image/webp"),
        (svg(), "image/svg+xml"),
    ],
)
def test_each_kind_of_picture_is_known_by_its_content_with_its_size(data, content_type):
    assert read_logo(data) == Picture(content_type, *SIZE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_is_cut_off_or_goes_on_is_refused(kind):
    data = picture(kind, (300, 200))
    for broken in (data[:-1], data[: len(data) // 2], data[:20], data + b"<script>alert(1)</script>"):
        with pytest.raises(LogoError):
            read_logo(broken)


def test_a_png_whose_bytes_were_changed_is_refused():
    data = bytearray(picture("PNG"))
    data[20] ^= 1
    with pytest.raises(LogoError):
        read_logo(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"GIF89a" + b"\0" * 40,
            b"%PDF-1.4",
            b"MZ\x90",
            b"\x00" * 100,
            b"<",
            b"<svg",
            b"hello",
            b"BM" + b"\0" * 60,
        ),
        *(b"<!doctype html><script>alert(1)</script>", b"<html xmlns='http://www.w3.org/1999/xhtml'/>", b"<svg/>"),
        *(
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xff\xff\xff",
            b"RIFF\x04\0\0\0WEBP",
            b"\xff\xd8\xff\xe0\x00\x00",
        ),
    ],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(LogoError):
        read_logo(data)


def test_a_file_may_be_as_long_as_is_said_and_no_longer():
    padding = svg("")
    full = svg(f"<desc>{'x' * (MOST_BYTES - len(padding) - len('<desc></desc>'))}</desc>")
    assert len(full) == MOST_BYTES
    assert read_logo(full).width == SIZE[0]
    with pytest.raises(LogoError, match="KB"):
        read_logo(full.replace(b"</desc>", b"x</desc>"))


def test_a_small_file_that_is_a_huge_picture_is_refused():
    assert read_logo(picture("PNG", (4096, 1))).width == 4096
    with pytest.raises(LogoError, match="4097 × 1"):
        read_logo(picture("PNG", (4097, 1)))


# --- Drawings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ("width='10' height='20'", (10, 20)),
        ("width='10px' height='20.4px'", (10, 20)),
        ("width='1in' height='72pt'", (96, 96)),
        ("viewBox='0 0 300 100'", (300, 100)),
        ("viewBox='-5,-5, 30,10' width='100%' height='100%'", (30, 10)),
        ("viewBox='0 0 300 100' width='60'", (60, 20)),
        ("viewBox='0 0 300 100' height='50'", (150, 50)),
        ("viewBox='0 0 40960 20480'", (4096, 2048)),
    ],
)
def test_the_size_of_a_drawing_is_what_it_says(attributes, size):
    found = read_logo(svg(attributes=attributes))
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        "width='0' height='5'",
        "viewBox='0 0 0 0'",
        "viewBox='a b c d'",
        "width='-1' height='5'",
        "viewBox='0 0 nan 1'",
    ],
)
def test_a_drawing_without_a_size_is_refused(attributes):
    with pytest.raises(LogoError):
        read_logo(svg(attributes=attributes))


@pytest.mark.parametrize(
    "inside",
    [
        "<defs><linearGradient id='a'><stop offset='1' stop-color='#fff'/></linearGradient></defs><rect fill='url(#a)'/>",
        "<style>.a{fill:#0f766e;stroke:url(#b)}</style><g class='a'><circle r='3'/></g>",
        "<symbol id='s'><path d='M0 0'/></symbol><use href='#s'/><use xlink:href='#s'/>",
        "<image href='data:image/png;base64,iVBORw0KGgo='/>",
        "<text font-family=\"'Helvetica'\">Tea &amp; more &#169;</text>",
        "<metadata><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' rdf:about='http://x'/></metadata>",
        "<g xmlns:i='http://www.inkscape.org/namespaces/inkscape' i:label='Layer' i:onload='x'/>",
    ],
)
def test_what_drawing_programs_write_is_let_in(inside):
    assert read_logo(svg(inside)).content_type == "image/svg+xml"


def test_the_head_that_drawing_programs_write_is_let_in():
    doctype = "<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd'>"
    head = f"\ufeff<?xml version='1.0' encoding='utf-8'?>\n<!-- made by hand -->{doctype}"
    assert read_logo(svg(before=head)).width == SIZE[0]


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<script href='data:,alert(1)'/>",
        "<x:script xmlns:x='http://www.w3.org/2000/svg'>alert(1)</x:script>",
        "<h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script>",
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>",
        "<g onclick='alert(1)'/>",
        "<g ONLOAD='alert(1)'/>",
        "<a href='https://example.com'><path d=''/></a>",
        "<use href='https://example.com/a.svg#b'/>",
        "<use xlink:href='//example.com/a.svg#b'/>",
        "<image href='https://example.com/a.png'/>",
        "<image href='data:image/svg+xml;base64,PHN2Zy8+'/>",
        "<image href=' javascript:alert(1)'/>",
        "<image href='java&#x0A;script:alert(1)'/>",
        "<rect fill='url(https://example.com/a)'/>",
        "<rect style='fill:url( \"//example.com\" )'/>",
        "<rect style='background:ur\\6c(//example.com)'/>",
        "<rect fill='ur\\6c(//example.com)'/>",
        "<style>@import 'https://example.com/a.css';</style>",
        "<style>@imp<![CDATA[ort 'x';]]></style>",
        "<style>@font-face{src:url(https://example.com/a)}</style>",
        "<style>rect{fill:url(https://example.com/a)}</style>",
        "<animate attributeName='href' to='javascript:alert(1)'/>",
        "<set attributeName='onload' to='alert(1)'/>",
        "<handler/>",
        "<iframe src='https://example.com'/>",
        "<?xml-stylesheet href='https://example.com/a.css'?>",
        "<g xml:base='https://example.com/'/>",
        "<feImage href='https://example.com/a.png'/>",
        "<use href='#a'/>" * 21,
        "<g>",
    ],
)
def test_what_runs_moves_links_or_fetches_is_refused(inside):
    with pytest.raises(LogoError):
        read_logo(svg(inside))


@pytest.mark.parametrize(
    "before",
    [
        "<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>",
        "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE svg [<!ENTITY % p SYSTEM 'https://example.com/x.dtd'> %p;]>",
        "<!DOCTYPE svg [<!ATTLIST g onload CDATA 'alert(1)'>]>",
        "<?xml-stylesheet href='https://example.com/a.css'?>",
    ],
)
def test_a_drawing_that_declares_anything_is_refused(before):
    with pytest.raises(LogoError):
        read_logo(svg("<desc>x</desc>", before=before))


def test_a_drawing_in_another_encoding_is_read_as_browsers_read_it():
    head = "<?xml version='1.0' encoding='utf-16'?>"
    hidden = svg("<script>alert(1)</script>", before=head).decode().encode("utf-16")
    with pytest.raises(LogoError):
        read_logo(hidden)
    assert read_logo(svg(before="<?xml version='1.0' encoding='iso-8859-1'?>")).width == SIZE[0]


def test_numbers_at_the_edge_are_no_crash():
    for body in (struct.pack(">I", 0xFFFFFFFF), b"\xff" * 30):
        with pytest.raises(LogoError):
            read_logo(b"\x89PNG\r\n\x1a\n" + body)
