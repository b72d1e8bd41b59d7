"""The good files that the bad ones are made of."""

import json
from pathlib import Path

from layerfusion.layers import write
from layerfusion.runs import Request, Session, Target, generate
from tests.layers.stacks import example_stack
from tests.models.test_vocabulary import KNOWN
from tests.models.tiny_files import save_layerdiffuse, save_sdxl, tiny_pipeline


def build(folder: Path) -> None:
    """A tiny model with a vocabulary, an SDXL with LayerDiffuse's files, a triplet, a stack of each kind."""
    tiny_pipeline(defaults={"steps": 1, "guidance_scale": 2.5}).save_pretrained(folder / "model")
    index = folder / "model" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "vocabulary": KNOWN}))
    save_sdxl(folder / "sdxl")
    save_layerdiffuse(folder / "ld")
    request = Request(
        foreground_prompt="a red fox",
        background_prompt="a snowy forest",
        seed=1,
        model=str(folder / "model"),
        device="cpu",
    )
    (made,) = generate(Session.open(request), request)
    Target(folder / "triplet").write(made)
    for name in ("stack", "stack.psd", "stack.ora", "stack.html"):
        write(example_stack(), folder / name)
