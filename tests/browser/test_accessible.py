"""Every page in every state that `scripts/screenshots.py` shows, light and dark.

axe-core finds no problem, and nothing is wider than the window, on a phone and on a desktop.
"""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page

from scripts.screenshots import SCENES, Scene, staged, two_hundred

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE: Final = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"

OVERHANG: Final = """() => {
    const root = document.documentElement;
    return root.scrollWidth - root.clientWidth;
}"""

ALIKE: Final = "li:nth-child(n + 13)"
"""Of a long list the first ones are looked at; the others are made the same way."""


async def assert_accessible(tab: Page, **options: Any) -> None:
    """Evaluated, not put into the page: its content security policy lets no other script in."""
    if not await tab.evaluate("'axe' in window"):
        await tab.evaluate(AXE.read_text("utf-8"))
    result: dict[str, Any] = await tab.evaluate(
        "([where, options]) => axe.run(where, options)", [{"exclude": [ALIKE]}, options]
    )
    violations = [
        f"{broken['help']}: {node['html']}: {node['failureSummary']}"
        for broken in result["violations"]
        for node in broken["nodes"]
    ]
    assert violations == []


async def assert_accessible_and_fitting(tab: Page) -> None:
    for width in (360, 1280):
        await tab.set_viewport_size({"width": width, "height": 800})
        assert await tab.evaluate(OVERHANG) <= 0
        await assert_accessible(tab)
    await tab.emulate_media(color_scheme="dark")
    for width in (360, 1280):  # where only the colours are others
        await tab.set_viewport_size({"width": width, "height": 800})
        await assert_accessible(tab, runOnly=["color-contrast"])


# Two hundred rows are made as five are, and axe-core takes seconds for them; see test_layout.py.
TESTED_SCENES: Final = [scene for scene in SCENES if scene is not two_hundred]


@pytest.mark.parametrize("scene", TESTED_SCENES, ids=lambda scene: scene.__name__)
async def test_every_state_is_accessible_and_fits(chromium: Browser, scene: Scene) -> None:
    async with staged(chromium) as stage:
        await scene(stage)
        await assert_accessible_and_fitting(stage.tab)
