"""What axe-core finds on a page that keeps anyone from using it."""

import functools
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def barriers(tab: Any) -> list[str]:
    """Each as "rule: element"; skips the test where axe-core is not at hand."""
    tab.evaluate(_script())
    found = tab.evaluate(f"axe.run({{ runOnly: {json.dumps(RULES)} }})")["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@functools.cache
def _script() -> str:
    """axe-core, from npm; fetched once."""
    folder = Path(__file__).parents[1] / "build" / "axe"
    file = folder / "axe.min.js"
    if not file.exists():
        if shutil.which("npm") is None:
            pytest.skip("needs npm, to fetch axe-core")
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", AXE, "--silent", "--pack-destination", str(folder)], capture_output=True, text=True
        )
        if packed.returncode:
            pytest.skip(f"npm could not fetch {AXE}")
        with tarfile.open(folder / packed.stdout.strip()) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            file.write_bytes(script.read())
    return file.read_text(encoding="utf-8")
