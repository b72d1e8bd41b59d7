"""From prompts to the rows of one batch: embeddings of every stream, and where each foreground prompt ends."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.method import StreamLayout

Prompt = str | list[str]


class Encoded(NamedTuple):
    """One prompt list as SDXL's `encode_prompt` returns it: (B, T, C) and pooled (B, C'); negatives may be None."""

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor | None
    pooled_prompt_embeds: Tensor
    negative_pooled_prompt_embeds: Tensor | None


@dataclass
class Conditions:
    """What the UNet is conditioned on, row by row of a `StreamLayout`.

    Attributes:
        prompt_embeds: (rows, T, C).
        pooled_prompt_embeds: (rows, C').
        time_ids: (rows, 6), SDXL's original size, crop and target size.
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor
    time_ids: Tensor

    def unet_arguments(self) -> dict[str, Any]:
        return {
            "encoder_hidden_states": self.prompt_embeds,
            "added_cond_kwargs": {"text_embeds": self.pooled_prompt_embeds, "time_ids": self.time_ids},
        }

    def conditional_foregrounds(self, layout: StreamLayout) -> "Conditions":
        """The rows of the prior pass."""
        rows = layout.conditional_foregrounds
        return Conditions(rows(self.prompt_embeds), rows(self.pooled_prompt_embeds), rows(self.time_ids))


def as_list(prompt: Prompt | None) -> list[str] | None:
    return [prompt] if isinstance(prompt, str) else prompt


def repeat_to(count: int, values: Any) -> Any:
    """A list or tensor of one entry, repeated to `count` entries; of `count` entries, unchanged; None stays None."""
    if values is None or len(values) == count:
        return values
    return values.repeat(count, *[1] * (values.ndim - 1)) if isinstance(values, Tensor) else values * count


def stack_conditions(layout: StreamLayout, encoded: dict[str, Encoded], time_ids: Tensor) -> Conditions:
    """Lay the streams' embeddings out in the order of the batch's rows.

    Args:
        layout: The order of the rows.
        encoded: For each stream's name, its prompts; B of them.
        time_ids: (1, 6), the same for every row.
    """

    def rows(conditional: str, unconditional: str) -> Tensor:
        names = (unconditional, conditional) if layout.guidance else (conditional,)
        return torch.cat([getattr(encoded[stream], name) for stream in layout.names for name in names])

    return Conditions(
        rows("prompt_embeds", "negative_prompt_embeds"),
        rows("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
        time_ids.repeat(layout.rows, 1),
    )


def first_eos(tokenizer: Any, prompts: list[str]) -> Tensor:
    """The place of the first end-of-text token of each prompt, (B,). A prompt cut at the limit still ends with one."""
    ids = tokenizer(prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True).input_ids
    return torch.tensor([row.index(tokenizer.eos_token_id) for row in ids])


def check_prompt(name: str, prompt: Prompt | None, embeds: Tensor | None, pooled: Tensor | None) -> int:
    """How many prompts there are.

    Raises:
        LayerFusionError: there is no prompt, an empty one, or one beside embeddings.
    """
    if (prompt is None) == (embeds is None):
        raise LayerFusionError(f"give either {name}_prompt or {name}_prompt_embeds, and not both.")
    if embeds is not None:
        if pooled is None:
            raise LayerFusionError(f"{name}_prompt_embeds come without pooled_{name}_prompt_embeds; give both.")
        return len(embeds)
    prompts = as_list(prompt)
    if not prompts or not all(isinstance(p, str) and p.strip() for p in prompts):
        raise LayerFusionError(f"the {name} prompt is empty; say what to draw.")
    return len(prompts)
