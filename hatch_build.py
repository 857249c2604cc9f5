"""Build hook: puts the front-end files from npm into the package.

They are pinned in `package.json` and its lock, never committed and never loaded from elsewhere.
The hook runs for a wheel, a source archive and an editable install alike.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = Path("node_modules/htmx.org")
VENDOR = Path("src/codewalk/web/static/vendor")

# What the pages use. htmx 4 morphs by itself; its reader of server-sent events is an extension.
FILES = {
    "dist/htmx.min.js": "htmx.min.js",
    "dist/ext/hx-sse.min.js": "hx-sse.min.js",
    "LICENSE": "htmx.LICENSE.txt",
}


class FrontEndHook(BuildHookInterface[Any]):
    """Copies the front-end files into the package before it is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the files; `version` is `standard` or `editable`.

        Raises RuntimeError where npm is needed and missing, or fails.
        """
        root = Path(self.root)
        vendor = root / VENDOR
        if not (root / PACKAGE).is_dir():
            if self._all_there(vendor):  # built from a source archive, which brings them along
                return
            self._fetch(root)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            shutil.copyfile(root / PACKAGE / source, vendor / name)

    @staticmethod
    def _all_there(vendor: Path) -> bool:
        return all((vendor / name).is_file() for name in FILES.values())

    @staticmethod
    def _fetch(root: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            message = (
                "CodeWalk's front-end files come from npm, and npm was not found. "
                "Install Node.js with npm and build again."
            )
            raise RuntimeError(message)
        # OpenCode's programs and what the tests use are no part of a build.
        command = [npm, "ci", "--omit=optional", "--omit=dev", "--no-progress", "--loglevel=error"]
        done = subprocess.run(command, cwd=root, check=False)
        if done.returncode != 0:
            message = f"`npm ci` failed with status {done.returncode}; its output is above."
            raise RuntimeError(message)
