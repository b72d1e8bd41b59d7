"""The work of `layerfusion generate`: from options to files, in the order in which a user waits for it."""

import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from layerfusion.cli.console import note, quiet_libraries, sampling_bar
from layerfusion.cli.record import make_record, read_record
from layerfusion.cli.targets import PRIORS, STRUCTURE, Target, check_targets, default_folder, plan_targets
from layerfusion.errors import LayerFusionError

if TYPE_CHECKING:
    from PIL import Image

    from layerfusion.cli.session import Session
    from layerfusion.evaluation.priors import LatentsNear
    from layerfusion.output import LayerFusionOutput, StepMaps

MAX_SEED = 2**63 - 1
TRIPLET = ("foreground", "background", "blended", "composite")
# The paper's Fig. 3 and 9 look at t = 0.8 T; what becomes of the masks later is worth a look too.
FIGURE_TIMES = (0.8, 0.5, 0.2)


@dataclass(frozen=True)
class Request:
    """What the user typed.

    Attributes:
        given: The options that were given, by the names of a record's values, and `size`, `mask`, `boundary`, `model`.
        source: A run to repeat; options that are given override it.
        out: The folder to write to, or None.
        count: How many triplets.
        kinds: Layered files to write as well, by their endings.
        show_priors: Whether to draw the priors.
        overwrite: Whether existing files may be replaced.
    """

    given: dict[str, Any]
    source: Path | None
    out: Path | None
    count: int
    kinds: tuple[str, ...]
    show_priors: bool
    overwrite: bool


def run(request: Request) -> None:
    """Make and write the triplets.

    Raises:
        LayerFusionError: something about the request cannot be done; nothing has been written then.
    """
    record = read_record(request.source) if request.source else {}
    values = merge(record, request.given)
    seed = values.setdefault("seed", secrets.randbelow(2**32))
    if not 0 <= seed <= MAX_SEED - request.count:
        raise LayerFusionError(f"the seed {seed} is out of range; give a number from 0 to {MAX_SEED - request.count}.")
    folder = request.out or default_folder(values["foreground_prompt"], values["background_prompt"], seed)
    targets = plan_targets(folder, request.count, request.kinds, request.show_priors)
    check_targets(folder, targets, request.overwrite)

    with quiet_libraries():
        # Only now: the first import of these libraries has much to say.
        from layerfusion.cli.session import prepare

        session = prepare(values, record)
        started = time.perf_counter()
        make_all(session, targets)
    report(session, folder, targets, time.perf_counter() - started)


def merge(record: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A record's values with the given options in their place, checked as far as that goes without a model."""
    model = record.get("model", {}).get("name", "mini")
    if given.get("model", model) != model:
        # The files that went on top of that model do not belong on this one.
        record = {
            key: value for key, value in record.items() if key not in ("foreground_weights", "transparent_decoder")
        }
    values = {**record, "model": model, **given}
    for which in ("foreground", "background"):
        if not values.get(f"{which}_prompt", "").strip():
            raise LayerFusionError(
                f"the {which} prompt is empty; say what to draw, as in: "
                'layerfusion generate "a red fox" "a snowy forest".'
            )
    if "size" in given:
        match = re.fullmatch(r"(\d+)[x×](\d+)", given["size"].strip().lower())
        if match is None:
            raise LayerFusionError(f"the size {given['size']!r} is not WIDTHxHEIGHT; write it as 1024x1024.")
        values["width"], values["height"] = int(match[1]), int(match[2])
    if not math.isfinite(values.get("guidance_scale", 1)):
        raise LayerFusionError("the guidance is not a finite number; give 1 (off) or more.")
    return values


def make_all(session: "Session", targets: list[Target]) -> None:
    """Sample and write, a batch at a time; what is written stays when a later triplet is interrupted."""
    size = min(session.machine["batch_size"], len(targets))
    done = 0
    try:
        with sampling_bar() as bar:
            task = bar.add_task("Sampling", total=session.settings.steps * math.ceil(len(targets) / size))
            for first in range(0, len(targets), size):
                batch = targets[first : first + size]
                if len(targets) > 1:
                    bar.update(task, description=f"Sampling {first + len(batch)} of {len(targets)}")
                make_batch(session, batch, session.settings.seed + first, lambda: bar.advance(task))
                done += len(batch)
    except KeyboardInterrupt:
        if len(targets) > 1:
            note(f"{done} of {len(targets)} triplets are written, and whole.")
        raise


def make_batch(session: "Session", targets: list[Target], seed: int, advance: Callable[[], Any]) -> None:
    """Sample triplets with the seeds from `seed` on, and write them."""
    from torch import Generator

    from layerfusion.evaluation.priors import LatentsNear

    settings, pipeline = session.settings, session.pipeline
    latents = LatentsNear(FIGURE_TIMES[0], advance)
    output = cast(
        "LayerFusionOutput",
        pipeline(
            settings.foreground_prompt,
            settings.background_prompt,
            # No negative prompt is not the same as an empty one: SDXL takes zeros for it.
            negative_foreground_prompt=settings.negative_foreground or None,
            negative_background_prompt=settings.negative_background or None,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance_scale,
            width=settings.width,
            height=settings.height,
            config=settings.config,
            num_images_per_prompt=len(targets),
            # One generator each, on the CPU: a triplet depends neither on its batch nor on the kind of GPU.
            generator=[Generator().manual_seed(seed + index) for index in range(len(targets))],
            return_maps=targets[0].show_priors,
            callback_on_step_end=latents,
        ),
    )
    for index, target in enumerate(targets):
        triplet = {name: getattr(output, name)[index] for name in TRIPLET}
        pictures = {f"{name}.png": picture for name, picture in triplet.items()}
        if target.show_priors:
            pictures |= draw_priors(session, triplet, output.maps or [], index, latents)
        record = make_record(replace(settings, seed=seed + index), session.model, session.machine, session.notes)
        target.write(pictures, output.to_stack(index) if target.kinds else None, record)


def draw_priors(
    session: "Session", triplet: dict[str, "Image.Image"], maps: "list[StepMaps]", index: int, seen: "LatentsNear"
) -> dict[str, "Image.Image"]:
    """The figures of triplet `index` of a batch, by file name."""
    from layerfusion.evaluation.figures import priors_figure, structure_figure
    from layerfusion.evaluation.priors import observe_priors
    from layerfusion.method import resolve_structure_layer

    pipeline, settings = session.pipeline, session.settings
    priors = observe_priors(pipeline, [settings.foreground_prompt], seen.latents[index : index + 1], seen.timestep)
    sign = settings.config.structure_sign or pipeline.config.structure_sign
    layers = {each.layer: each.structure(sign)[0] for each in priors if each.sparsity is not None}
    chosen = resolve_structure_layer(pipeline.unet, settings.config.structure_layer or pipeline.config.structure_layer)
    last = pipeline.scheduler.config.num_train_timesteps
    return {
        PRIORS: priors_figure(triplet, maps, index, last, FIGURE_TIMES),
        STRUCTURE: structure_figure(triplet["foreground"], layers, float(seen.timestep) / last, chosen),
    }


def report(session: "Session", folder: Path, targets: list[Target], seconds: float) -> None:
    """What was written, with what, and how long it took."""
    settings, several = session.settings, len(targets) > 1
    last = settings.seed + len(targets) - 1
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in targets[0].names:
        table.add_row(name, Text(WHAT.get(name, "layers, for another program"), style="dim"))
    where = f"{folder / targets[0].folder.name} … {targets[-1].folder.name}" if several else f"{folder}"
    console = Console(highlight=False)
    console.print(f"[bold]{escape(where)}[/]", soft_wrap=True)
    console.print(table)
    facts = [
        session.model["name"],
        f"seeds {settings.seed} to {last}" if several else f"seed {settings.seed}",
        f"{settings.steps} steps",
        f"{settings.width} × {settings.height}",
        f"{seconds:.1f} s on {session.machine['device']}"
        + (f", {seconds / len(targets):.1f} s each" if several else ""),
    ]
    console.print(escape(" · ".join(facts)), soft_wrap=True)


WHAT = {
    "foreground.png": "the foreground, RGBA",
    "background.png": "the background",
    "blended.png": "both, blended by the model",
    "composite.png": "the foreground laid over the background",
    PRIORS: "priors and masks",
    STRUCTURE: "the structure prior of every layer",
    "triplet.json": "settings, to repeat it with --from",
}
