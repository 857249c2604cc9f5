#!/usr/bin/env python3
"""Draws the icons for home screens as PNG files, from `icon.svg`; run it again when that changes.

They are committed: it takes a Chromium to draw them, and a build has none.
"""

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, async_playwright

STATIC = Path(__file__).parents[1] / "src/codewalk/web/static"

# What a system cuts to a shape of its own reaches to all sides, with the drawing in the middle.
WHOLE = {"icon-192.png": 192, "icon-512.png": 512}
CUT = {"icon-maskable-512.png": 512, "icon-apple-180.png": 180}


def widened(svg: str) -> str:
    """The icon with its ground, which else has round corners, on all sides of it."""
    for old, new in (
        ('viewBox="0 0 32 32"', 'viewBox="-3 -3 38 38"'),
        ('<rect width="32" height="32" rx="8"', '<rect x="-3" y="-3" width="38" height="38"'),
    ):
        if old not in svg:
            message = f"icon.svg has no {old}"
            raise ValueError(message)
        svg = svg.replace(old, new)
    return svg


async def draw(browser: Browser, svg: str, name: str, side: int) -> None:
    page = await browser.new_page(viewport={"width": side, "height": side})
    await page.set_content(f"<body style='margin: 0'>{svg}")
    await page.screenshot(path=STATIC / name, omit_background=True)
    await page.close()


async def main() -> None:
    svg = (STATIC / "icon.svg").read_text(encoding="utf-8")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, side in WHOLE.items():
            await draw(browser, svg, name, side)
        for name, side in CUT.items():
            await draw(browser, widened(svg), name, side)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
