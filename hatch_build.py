"""Build hook that copies the front-end files from npm into the package.

They are pinned in `package.json` and its lock; they are neither committed nor loaded
from elsewhere. The hook runs for a wheel, a source archive and an editable install.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = Path("node_modules")
VENDOR = Path("src/codewalk/web/static/vendor")

# The files that pages load, and their sources. htmx 4 morphs without an extension.
FILES = {
    "htmx.js": ("htmx.org/dist/htmx.min.js",),
    "htmx.LICENSE.txt": ("htmx.org/LICENSE",),
    "lucide.LICENSE.txt": ("lucide-static/LICENSE",),
}

# The icons that pages use, of the 2,000 that Lucide has; they go into one file.
ICONS = (
    "chevrons-up-down", "clock", "cpu", "ellipsis", "eye", "eye-off",
    "folder", "grip-vertical", "house", "info", "loader-circle", "lock", "message-square",
    "monitor", "moon", "pencil", "plug", "plus", "refresh-cw", "search", "server", "sun",
    "triangle-alert", "zap",
)  # fmt: skip
ICON_FOLDER = "lucide-static/icons"
SPRITE = "icons.svg"

# The attributes that all of Lucide's icons have in common.
STYLE = (
    'viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round"'
)


class FrontEndHook(BuildHookInterface[Any]):
    """Copies the front-end files into the package before it is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the files; `version` is `standard` or `editable`.

        Raises:
            RuntimeError: npm is needed and missing, or fails, or an icon is missing.
        """
        root = Path(self.root)
        modules, vendor = root / MODULES, root / VENDOR
        if not self._all_exist(modules, [*chain.from_iterable(FILES.values()), ICON_FOLDER]):
            # A source archive contains the files that were made of them.
            if self._all_exist(vendor, [*FILES, SPRITE]):
                return
            self._fetch(root)
        vendor.mkdir(parents=True, exist_ok=True)
        for name, sources in FILES.items():
            parts = [(modules / source).read_text("utf-8").rstrip() for source in sources]
            (vendor / name).write_text("\n;\n".join(parts) + "\n", encoding="utf-8")
        (vendor / SPRITE).write_text(sprite(modules / ICON_FOLDER, ICONS), encoding="utf-8")

    @staticmethod
    def _all_exist(folder: Path, names: Iterable[str]) -> bool:
        return all((folder / name).exists() for name in names)

    @staticmethod
    def _fetch(root: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            message = (
                "CodeWalk's front-end files come from npm, and npm was not found. "
                "Install Node.js with npm and build again."
            )
            raise RuntimeError(message)
        # A build needs neither OpenCode's programs nor what the tests use.
        command = [npm, "ci", "--omit=optional", "--omit=dev", "--no-progress", "--loglevel=error"]
        done = subprocess.run(command, cwd=root, check=False)
        if done.returncode != 0:
            message = f"`npm ci` failed with status {done.returncode}; its output is above."
            raise RuntimeError(message)


def sprite(folder: Path, names: Iterable[str]) -> str:
    """Return an SVG file with a `<symbol>` for each icon, whose id is the icon's name.

    Raises:
        RuntimeError: Lucide has no such icon, or draws it with other attributes.
    """
    symbols = "".join(
        f'<symbol id="{name}" {STYLE}>{_shapes(folder, name)}</symbol>\n' for name in names
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}</svg>\n'


def _shapes(folder: Path, name: str) -> str:
    path = folder / f"{name}.svg"
    if not path.is_file():
        message = f"lucide-static has no icon {name!r}."
        raise RuntimeError(message)
    text = " ".join(path.read_text(encoding="utf-8").split())
    match = re.search(r"<svg ([^>]*?) ?>(.*)</svg>", text)
    if match is None or STYLE not in match[1]:
        message = f"The icon {name!r} of lucide-static has other attributes than the others."
        raise RuntimeError(message)
    return match[2].strip()
