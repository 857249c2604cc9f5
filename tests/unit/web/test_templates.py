"""The icons of the templates: one file made of Lucide's, and a name for each that a page shows."""

from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from markupsafe import Markup

from codewalk.web.assets import ASSETS, TEMPLATES
from codewalk.web.templates import ICONS, icon
from hatch_build import ICONS as LISTED
from hatch_build import sprite

DRAWN = """<!-- @license -->
<svg
  class="lucide lucide-box"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 5v14" />
</svg>
"""


def test_every_listed_icon_is_in_the_one_file_with_its_licence() -> None:
    assert list(ICONS) == list(LISTED)
    assert "vendor/lucide.LICENSE.txt" in ASSETS


def test_an_icon_is_a_picture_that_is_not_read_aloud() -> None:
    drawn = '<path d="M5 12h14"/><path d="M12 5v14"/>'
    opened = '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">'
    assert icon("plus") == f"{opened}{drawn}</svg>"
    assert isinstance(icon("plus"), Markup)


def test_dots_are_one_shape_and_no_element_each() -> None:
    dots = ["M11 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0", "M18 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0"]
    drawn = f'<path d="{"".join(dots)}M4 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0"/>'
    assert f">{drawn}</svg>" in icon("ellipsis")
    assert "<circle" not in icon("grip-vertical")
    assert '<circle cx="11" cy="11" r="8"/>' in icon("search")


def test_a_name_without_an_icon_is_an_error_and_no_blank() -> None:
    with pytest.raises(LookupError, match="no icon 'floppy'"):
        icon("floppy")


def test_every_icon_that_a_template_names_is_there() -> None:
    env = Environment(autoescape=True)
    for template, text in TEMPLATES.items():
        for call in env.parse(text).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "icon":
                names = {const.value for const in call.find_all(nodes.Const)}
                assert names <= set(ICONS), template


def test_there_is_no_icon_that_no_template_names() -> None:
    text = "".join(TEMPLATES.values())
    assert [name for name in ICONS if f'"{name}"' not in text] == []


def test_the_file_holds_a_symbol_for_each_name(tmp_path: Path) -> None:
    (tmp_path / "box.svg").write_text(DRAWN)
    made = sprite(tmp_path, ["box"])
    assert '<symbol id="box" viewBox="0 0 24 24" fill="none" stroke="currentColor"' in made
    assert '><path d="M12 5v14" /></symbol>' in made
    assert "license" not in made


@pytest.mark.parametrize("drawn", [DRAWN.replace('"2"', '"3"'), "", "<svg/>"])
def test_an_icon_that_is_drawn_otherwise_stops_the_build(tmp_path: Path, drawn: str) -> None:
    (tmp_path / "box.svg").write_text(drawn)
    with pytest.raises(RuntimeError, match="has other attributes than the others"):
        sprite(tmp_path, ["box"])


def test_an_icon_that_lucide_lacks_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no icon 'box'"):
        sprite(tmp_path, ["box"])
