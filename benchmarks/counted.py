"""What a joint step costs at SDXL's full size, counted on the meta device: no weights, no time, any machine.

    python -m benchmarks.counted

Floating-point operations of matrix products, convolutions and attentions at 1024x1024 with guidance, of one joint step
(prior pass included) against one step of diffusers' UNet on six rows: three pictures with both guidance halves.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import record
from benchmarks.sdxl import RANK, UNET
from layerfusion.method import JointAttention, LayerFusionConfig, StreamLayout, UNetPass, resolve_structure_layer
from layerfusion.models import defaults_for
from layerfusion.offsets import ForegroundOffsets, attention_projections

SIDE = 128  # of the latent of 1024 pixels


def conditions(rows: int) -> dict[str, object]:
    """What SDXL's UNet is conditioned on, for so many rows."""
    return {
        "encoder_hidden_states": torch.empty(rows, 77, 2048),
        "added_cond_kwargs": {"text_embeds": torch.empty(rows, 1280), "time_ids": torch.empty(rows, 6)},
    }


def operations(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def count(side: int = SIDE) -> dict[str, Any]:
    """Operations of each kind of step over those of six stock rows, and those, in 10^12.

    `default` is the mean of a run's steps as the embedded model's defaults have them.
    """
    with torch.device("meta"), torch.no_grad():
        unet = UNet2DConditionModel(**UNET).eval()
        shapes = attention_projections(unet).items()
        offsets = ForegroundOffsets({path: [linear.in_features, linear.out_features, RANK] for path, linear in shapes})
        rows, t = torch.empty(6, 4, side, side), torch.empty(())
        stock = operations(lambda: unet(rows, t, **conditions(6)))

        def step(config: LayerFusionConfig, guidance: bool = True, prior: bool = True) -> float:
            layout = StreamLayout(1, guidance)
            joint = JointAttention(unet, offsets, config, resolve_structure_layer(unet, None), 1)
            eos = torch.empty(1, dtype=torch.long)
            structure: Tensor | None = torch.empty(1, side // 2, side // 2)

            def run() -> None:
                if prior:
                    alone = UNetPass(layout.prior_pass(), (side, side), eos, take_structure=True)
                    joint.take_prior(alone, rows[:1], t, **conditions(1))
                both = UNetPass(
                    layout, (side, side), eos, blend=config.blend, structure=structure, take_structure=not prior
                )
                joint.predict(both, rows[: layout.rows], t, **conditions(layout.rows))

            with joint.installed():
                return round(operations(run) / stock, 4)

        paper = LayerFusionConfig.paper()
        alone = replace(paper, blend=False, share_attention=False)
        own = defaults_for("mini")

        def default() -> float:
            """The mean over a run's steps with the savings that the embedded model's defaults have."""
            kinds = Counter(
                (own.config.guides_at(i, own.steps), own.config.passes_at(i, own.steps)) for i in range(own.steps)
            )
            return round(sum(steps * step(paper, *kind) for kind, steps in kinds.items()) / own.steps, 4)

        counted = {
            "three streams that never meet": step(alone, prior=False),
            "attention shared": step(replace(paper, blend=False), prior=False),
            "the step before's structure": step(paper, prior=False),
            "exact": step(paper),
            "default": default(),
            "exact, without guidance": step(paper, guidance=False),
            "the step before's structure, without guidance": step(paper, guidance=False, prior=False),
        }
        for path, linear in attention_projections(unet).items():
            offsets()[path].fused = linear.weight
        counted |= {
            "fused: the step before's structure": step(paper, prior=False),
            "fused: exact": step(paper),
            "fused: default": default(),
            "fused: exact, without guidance": step(paper, guidance=False),
            "fused: the step before's structure, without guidance": step(paper, guidance=False, prior=False),
        }
        assert all(math.isfinite(value) for value in counted.values())
        return {"stock, 10^12": round(stock / 1e12, 2), "ratios": counted}


def main() -> None:
    record("counted", count())


if __name__ == "__main__":
    main()
