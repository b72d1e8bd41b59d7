"""The sprite package, from the npm registry: fetched once, checked, unpacked into an ignored folder.

`@lobehub/fluent-emoji-3d` (MIT) carries Microsoft's Fluent Emoji (MIT) as 256×256 RGBA pictures.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from layerfusion.errors import LayerFusionError

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
TARBALL = "lobehub-fluent-emoji-3d-1.1.0.tgz"
SHA512 = (
    "5a5ab69554ad4e7afc043a48274a449d328ee0bb83c71a931214ef46d0f50cb4"
    "45d267bba207914232a87a10c75ee549d9069e720979c1106feb4954006de1ee"
)


def _checked(tarball: Path) -> Path:
    found = hashlib.sha512(tarball.read_bytes()).hexdigest()
    if found != SHA512:
        tarball.unlink()
        raise LayerFusionError(f"{tarball.name} is not the file the recipe was made with; fetch it again.")
    return tarball


def _pack(folder: Path) -> Path:
    """`npm pack` the package into `folder`."""
    if shutil.which("npm") is None:
        raise LayerFusionError(f"npm was not found; install Node.js, or put {TARBALL} of {PACKAGE} into {folder}.")
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LayerFusionError(f"npm could not fetch {PACKAGE} ({reason}); check the network and run again.")
    return folder / TARBALL


def sprites(build: Path) -> Path:
    """The folder of `<code points>.webp` files under `build`, fetched and unpacked on first use.

    Raises:
        LayerFusionError: npm is missing or fails, or the file's checksum is wrong.
    """
    assets = build / "sprites" / "assets"
    if assets.is_dir():
        return assets
    build.mkdir(parents=True, exist_ok=True)
    tarball = build / TARBALL
    tarball = _checked(tarball if tarball.exists() else _pack(build))
    # Unpacked beside its place, so that an interrupted run leaves no half-filled folder behind.
    with tempfile.TemporaryDirectory(dir=build) as folder, tarfile.open(tarball) as archive:
        archive.extractall(folder, filter="data")
        try:
            os.replace(Path(folder) / "package", build / "sprites")
        except OSError:
            if not assets.is_dir():  # else another process was first
                raise
    return assets
