#!/usr/bin/env python3
"""Renders the icons for home screens as PNG files from `icon.svg`; run it when that changes.

They are committed: rendering needs a Chromium, which a build doesn't have.
"""

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, async_playwright

STATIC = Path(__file__).parents[1] / "src/codewalk/web/static"

# A maskable icon fills the whole square: systems cut it to their own shape.
PLAIN = {"icon-192.png": 192, "icon-512.png": 512}
MASKABLE = {"icon-maskable-512.png": 512, "icon-apple-180.png": 180}


def make_maskable(svg: str) -> str:
    """Return the icon with its background on all sides, without round corners."""
    for old, new in (
        ('viewBox="0 0 32 32"', 'viewBox="-3 -3 38 38"'),
        ('<rect width="32" height="32" rx="8"', '<rect x="-3" y="-3" width="38" height="38"'),
    ):
        if old not in svg:
            message = f"icon.svg has no {old}"
            raise ValueError(message)
        svg = svg.replace(old, new)
    return svg


async def render(browser: Browser, svg: str, name: str, size: int) -> None:
    page = await browser.new_page(viewport={"width": size, "height": size})
    await page.set_content(f"<body style='margin: 0'>{svg}")
    await page.screenshot(path=STATIC / name, omit_background=True)
    await page.close()


async def main() -> None:
    svg = (STATIC / "icon.svg").read_text(encoding="utf-8")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, size in PLAIN.items():
            await render(browser, svg, name, size)
        for name, size in MASKABLE.items():
            await render(browser, make_maskable(svg), name, size)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
