"""From prompts to the rows of one batch: embeddings of every stream, and where each foreground prompt ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.method import StreamLayout

Prompt = str | list[str]


@dataclass(frozen=True)
class Prompts:
    """What one model is asked to draw: prompts, or embeddings in their place.

    Attributes:
        name: "foreground" or "background", as errors call it.
        prompt, negative_prompt: One, or a list of N.
        prompt_embeds, negative_prompt_embeds: (N, T, C).
        pooled_prompt_embeds, negative_pooled_prompt_embeds: (N, C').
        eos: With embeddings of foreground prompts, the place of the first end-of-text token of each.
    """

    name: str
    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None
    eos: list[int] | None = None

    @property
    def count(self) -> int:
        """How many prompts there are, N."""
        return len(as_list(self.prompt) or []) if self.prompt_embeds is None else len(self.prompt_embeds)

    def check(self) -> None:
        """Raise a LayerFusionError where a prompt is missing, empty or beside embeddings, or these are half."""
        if (self.prompt is None) == (self.prompt_embeds is None):
            raise LayerFusionError(f"give either {self.name}_prompt or {self.name}_prompt_embeds, and not both.")
        if self.negative_prompt is not None and self.negative_prompt_embeds is not None:
            raise LayerFusionError(
                f"give either negative_{self.name}_prompt or negative_{self.name}_prompt_embeds, and not both."
            )
        for which in ("", "negative_"):
            embeds, pooled = (getattr(self, f"{which}{pool}prompt_embeds") for pool in ("", "pooled_"))
            if (embeds is None) != (pooled is None):
                raise LayerFusionError(
                    f"{which}{self.name}_prompt_embeds and {which}pooled_{self.name}_prompt_embeds belong together; "
                    "give both."
                )
        if self.prompt_embeds is None:
            prompts = as_list(self.prompt)
            if not prompts or not all(isinstance(p, str) and p.strip() for p in prompts):
                raise LayerFusionError(f"the {self.name} prompt is empty; say what to draw.")

    def check_eos(self) -> None:
        """Raise a LayerFusionError where embeddings come without the places of their end-of-text tokens."""
        if self.prompt_embeds is None:
            return
        prompts, tokens = self.prompt_embeds.shape[:2]
        if self.eos is None:
            raise LayerFusionError(
                f"{self.name}_prompt_embeds come without {self.name}_eos; give the place of each prompt's first "
                "end-of-text token, which the content confidence is read from."
            )
        if len(self.eos) != prompts or not all(0 <= place < tokens for place in self.eos):
            raise LayerFusionError(f"{self.name}_eos is {self.eos}; give {prompts} of {tokens} places, counted from 0.")

    def repeated(self, count: int) -> dict[str, Any]:
        """The arguments of SDXL's `encode_prompt`, a single prompt or embedding repeated to `count`."""
        return {
            "prompt": repeat_to(count, as_list(self.prompt)),
            "negative_prompt": repeat_to(count, as_list(self.negative_prompt)),
            "prompt_embeds": repeat_to(count, self.prompt_embeds),
            "pooled_prompt_embeds": repeat_to(count, self.pooled_prompt_embeds),
            "negative_prompt_embeds": repeat_to(count, self.negative_prompt_embeds),
            "negative_pooled_prompt_embeds": repeat_to(count, self.negative_pooled_prompt_embeds),
        }


class Encoded(NamedTuple):
    """One prompt list as SDXL's `encode_prompt` returns it: (B, T, C) and pooled (B, C'); negatives may be None."""

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor | None
    pooled_prompt_embeds: Tensor
    negative_pooled_prompt_embeds: Tensor | None


@dataclass(frozen=True)
class Conditions:
    """What the UNet is conditioned on, row by row of a `StreamLayout`.

    Attributes:
        prompt_embeds: (rows, T, C).
        add_text_embeds: (rows, C'), the pooled ones.
        add_time_ids: (rows, 6), SDXL's original size, crop and target size.
        eos: (F·B,) the place of the first end-of-text token of each foreground prompt.
        image_embeds: For each IP-Adapter (rows, images, …), the pictures.
        pictured: (rows,) 1 where the row's stream was given pictures; None where none was.
    """

    prompt_embeds: Tensor
    add_text_embeds: Tensor
    add_time_ids: Tensor
    eos: Tensor
    image_embeds: tuple[Tensor, ...] = ()
    pictured: Tensor | None = None

    def unet_arguments(self) -> dict[str, Any]:
        added: dict[str, Any] = {"text_embeds": self.add_text_embeds, "time_ids": self.add_time_ids}
        if self.image_embeds:
            added["image_embeds"] = list(self.image_embeds)
        return {"encoder_hidden_states": self.prompt_embeds, "added_cond_kwargs": added}

    def rows(self, take: Callable[[Tensor], Tensor]) -> "Conditions":
        """Those of other rows: `take` is given what stands row by row, and returns it for the rows it chooses."""
        return replace(
            self,
            prompt_embeds=take(self.prompt_embeds),
            add_text_embeds=take(self.add_text_embeds),
            add_time_ids=take(self.add_time_ids),
            image_embeds=tuple(take(embeds) for embeds in self.image_embeds),
            pictured=None if self.pictured is None else take(self.pictured),
        )


def as_list(prompt: Prompt | None) -> list[str] | None:
    return [prompt] if isinstance(prompt, str) else prompt


def repeat_to(count: int, values: Any) -> Any:
    """A list or tensor of one entry, repeated to `count` entries; of `count` entries, unchanged; None stays None."""
    if values is None or len(values) == count:
        return values
    return values.repeat(count, *[1] * (values.ndim - 1)) if isinstance(values, Tensor) else values * count


def stack_conditions(layout: StreamLayout, encoded: dict[str, Encoded], time_ids: Tensor, eos: Tensor) -> Conditions:
    """Lay the streams' embeddings out in the order of the batch's rows.

    Args:
        layout: The order of the rows.
        encoded: For each stream's name, its prompts; B of them.
        time_ids: (1, 6), the same for every row.
        eos: (F·B,), see `Conditions`.

    Raises:
        LayerFusionError: embeddings differ in shape.
    """

    def rows(conditional: str, unconditional: str) -> Tensor:
        names = (unconditional, conditional) if layout.guidance else (conditional,)
        parts = [getattr(encoded[stream], name) for stream in layout.names for name in names]
        shapes = {tuple(part.shape) for part in parts}
        if len(shapes) > 1:
            raise LayerFusionError(
                f"the prompts' embeddings have the shapes {' and '.join(map(str, sorted(shapes)))}; give all the same."
            )
        return torch.cat(parts)

    return Conditions(
        rows("prompt_embeds", "negative_prompt_embeds"),
        rows("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
        time_ids.repeat(layout.rows, 1),
        eos,
    )


def stack_pictures(
    layout: StreamLayout, encoded: Mapping[str, list[Tensor] | None], dtype: torch.dtype
) -> dict[str, Any]:
    """Lay the streams' pictures for IP-Adapters out in the order of the batch's rows.

    Args:
        layout: The order of the rows.
        encoded: For each stream's name, for each adapter (G·B, images, …); None, or no name, where there are none.
        dtype: Of the result.

    Returns:
        `image_embeds` and `pictured` as `Conditions` has them.

    Raises:
        LayerFusionError: the streams are given different numbers of pictures.
    """
    examples = next(pictures for pictures in encoded.values() if pictures is not None)
    per_stream = [encoded.get(name) or [torch.zeros_like(example) for example in examples] for name in layout.names]
    if len({tuple(picture.shape for picture in pictures) for pictures in per_stream}) > 1:
        raise LayerFusionError("foreground and background have different numbers of pictures; give as many for each.")
    pictured = torch.tensor([encoded.get(name) is not None for name in layout.names], device=examples[0].device)
    return {
        "image_embeds": tuple(torch.cat(pictures).to(dtype) for pictures in zip(*per_stream, strict=True)),
        "pictured": pictured.repeat_interleave(layout.halves * layout.batch),
    }


def first_eos(tokenizer: Any, prompts: list[str]) -> Tensor:
    """The place of the first end-of-text token of each prompt, (B,). A prompt cut at the limit still ends with one."""
    ids = tokenizer(prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True).input_ids
    return torch.tensor([row.index(tokenizer.eos_token_id) for row in ids])
