"""Our own scripts: few, type-checked, and all there."""

import json
import re
from pathlib import Path, PurePosixPath

from codewalk.web.assets import ASSETS, TEMPLATES

PAGES = "".join(TEMPLATES.values())
OWN = {
    path: asset.body.decode()
    for path, asset in ASSETS.items()
    if path.endswith(".js") and not path.startswith("vendor/")
}


def test_each_is_under_200_lines_and_all_are_under_500() -> None:
    lines = [sum(1 for line in text.splitlines() if line.strip()) for text in OWN.values()]
    assert max(lines) < 200
    assert 50 < sum(lines) < 500


def test_each_is_type_checked() -> None:
    assert all(text.startswith("// @ts-check\n") for text in OWN.values())
    options = json.loads((Path(__file__).parents[3] / "tsconfig.json").read_text("utf-8"))
    assert options["include"] == ["src/codewalk/web/static"]
    assert options["compilerOptions"]["strict"]


def test_each_is_named_by_a_page_or_by_another_from_its_own_place() -> None:
    # Beside its own address is the same version's; any other address could be another's.
    named = set(re.findall(r'<script src="{{ asset\["([a-z]+\.js)"\] }}" type="module"', PAGES))
    for path, text in OWN.items():
        for target in re.findall(r'^import .*?"([^"]+)";$', text, re.MULTILINE):
            assert target.startswith("./")
            named.add(str(PurePosixPath(path).parent / target))
    assert named == set(OWN)
