"""Write the light benchmark out of the world: `python -m recipes.mini.light`.

The same arguments write the same files, to the bit. What the set is and how it is run: docs/evidence/light.md.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.light import LightSet
from layerfusion.files import atomic_write
from layerfusion.models import MINI, read_vocabulary
from recipes.mini.triplets import Case, known_world
from recipes.mini.world import World

NAME, VERSION = "layerfusion-light", 1
SEEDS = 94_000_000
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in the zip: the same set is the same file


def cases_of(world: World, count: int) -> list[Case]:
    """`count` cases: the scenes in turn, and in each a different subject; with a colour where the sprite has one."""
    rng = np.random.default_rng(SEEDS)
    order = [rng.permutation(len(world.objects)) for _ in world.scenes]
    cases = []
    for k in range(count):
        scene, lap = k % len(world.scenes), k // len(world.scenes)
        spec = world.objects[order[scene][lap % len(world.objects)]]
        colour = spec.colours[int(rng.integers(len(spec.colours)))] if spec.colours and lap % 2 else None
        cases.append(Case(spec.key, world.scenes[scene].key, SEEDS + k, colour))
    return cases


def write(world: World, count: int, path: Path) -> None:
    """The set as a zip that depends on nothing but what is in it."""
    listed = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def put(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"{NAME}-{VERSION}/{name}", EPOCH), content)

        for k, case in enumerate(cases_of(world, count)):
            sample = world.render("composite", obj=case.obj, colour=case.colour, scene=case.scene, seed=case.seed)
            assert sample.foreground is not None and sample.background is not None
            pictures = {"foreground": sample.foreground, "background": sample.background, "truth": sample.picture}
            for kind, pixels in pictures.items():
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG", optimize=True)
                put(f"{k:03}-{kind}.png", png.getvalue())
            prompts = dict(zip(("foreground", "background"), case.prompts(world), strict=True))
            gain = [round(g, 6) for g in sample.truth["gain"]]
            known = {"key": sample.truth["key"], "gain": gain, "effects": sample.truth["effects"]}
            listed.append({"name": f"{k:03}", **prompts, "seed": case.seed, **known})
        text = json.dumps({"name": NAME, "version": VERSION, "size": world.size, "cases": listed}, indent=1)
        put("light.json", (text + "\n").encode())


def main() -> None:
    """Render, write, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=130)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--build", type=Path, default=Path("build/world"), help="where the sprites lie")
    parser.add_argument("--out", type=Path, default=Path("build/light.zip"))
    parser.add_argument("--overwrite", action="store_true", help="replace the set that is there")
    args = parser.parse_args()
    try:
        # The words of the embedded model, so that it can be measured; the pictures owe it nothing.
        world = known_world(args.size, args.build, read_vocabulary(MINI))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(args.out, overwrite=args.overwrite) as temporary:
            write(world, args.cases, temporary)
        made = LightSet(args.out)
    except LayerFusionError as error:
        raise SystemExit(str(error)) from error
    print(f"{args.out}: {len(made)} cases, {args.out.stat().st_size / 2**20:.1f} MB, digest {made.digest}")


if __name__ == "__main__":
    main()
