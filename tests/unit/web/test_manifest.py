"""The manifest, with which a browser can install CodeWalk."""

import json
import struct
from typing import Any

from codewalk.web.assets import ADDRESSES, ASSETS
from codewalk.web.theme import BACKGROUND_COLORS, Theme
from tests.unit.web.samples import page_context, servers_page

MANIFEST: dict[str, Any] = json.loads(ASSETS["manifest.webmanifest"].body)


def side_of(png: bytes) -> int:
    """In pixels; the picture is a square."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width == height
    return int(width)


def test_every_page_names_the_manifest_and_the_icons() -> None:
    html = servers_page(page_context())
    assert f'<link rel="manifest" href="{ADDRESSES["manifest.webmanifest"]}">' in html
    apple = "icon-apple-180.png"
    assert f'<link rel="apple-touch-icon" href="{ADDRESSES[apple]}">' in html
    assert side_of(ASSETS[apple].body) == 180


def test_it_starts_where_its_addresses_change_never() -> None:
    # Its own address has a version, and must not be what a browser knows the app by.
    assert MANIFEST["id"] == MANIFEST["start_url"] == MANIFEST["scope"] == "/"


def test_its_icons_lie_beside_it_and_are_as_large_as_it_says() -> None:
    drawn = [one for one in MANIFEST["icons"] if one["type"] == "image/png"]
    assert {(one["sizes"], one.get("purpose")) for one in drawn} == {
        ("192x192", None),
        ("512x512", None),
        ("512x512", "maskable"),
    }
    for one in drawn:
        side = side_of(ASSETS[one["src"]].body)
        assert one["sizes"] == f"{side}x{side}"


def test_its_colours_are_the_pages() -> None:
    assert MANIFEST["background_color"] == MANIFEST["theme_color"] == BACKGROUND_COLORS[Theme.LIGHT]
