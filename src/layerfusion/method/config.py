"""Every switch of the method, in one frozen object with the paper's values as defaults."""

import json
from dataclasses import asdict, dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from layerfusion.errors import LayerFusionError, shown

Mask = Literal["combined", "self", "cross"]
StructureSource = Literal["prior_pass", "previous_step"]


@dataclass(frozen=True)
class LayerFusionConfig:
    """How the streams influence each other. The defaults are the paper's.

    Attributes:
        mask: What the masks are made of: "combined" (s'·c), "self" (s' alone, c ≡ 1) or "cross" (c alone, s' ≡ 1);
            the ablation of Fig. 8c.
        boundary: d, the soft decision boundary coefficient of mask_hard, > 0 (Fig. 8d; 10 in the paper).
        mask_range: Quantiles of s'·c between which mask_soft rises from 0 to 1, 0 ≤ low < high ≤ 1; (0, 1) is the
            paper's min–max. A narrower range fills the inside of the subject: it is more whole, and less in the light.
        align: λ in [0, 1], how far a_FG is moved to the mean of a_Blended inside the mask before Eq. 1: it brings the
            light back. 0 in the paper.
        detail: κ in [0, 1], how much of the foreground's detail the blended stream's predicted latent takes on inside
            the subject, after each step; see `method.detail`. 0 in the paper.
        light: η in [0, 1], how far that detail follows the light of the blended stream; 0 keeps the foreground's own
            colours. Acts only with `detail`.
        detail_range: The part of the run in which `detail` acts, as `blend_range`; it needs Eq. 1 in the same steps.
        structure_layer: The self-attention whose map gives the structure prior, by its path in the UNet
            ("up_blocks.1.attentions.2.transformer_blocks.1.attn1"). None takes the choice saved with the model, and
            where the model has none the last self-attention, as in the paper (Fig. 9 varies it).
        structure_sign: 1 for the paper's s' = 1 − minmax(s), −1 for s' = minmax(s). None takes the model's own.
        structure_from: "prior_pass" runs the foreground model once before each joint pass (Fig. 2a);
            "previous_step" takes the map from the joint pass of the step before, which is cheaper.
        prior_range: The part of the run in which prior passes are made, as `blend_range`; outside it the map of the
            step before is taken. Acts only with `structure_from="prior_pass"`.
        blend: Blends a_FG into a_Blended (Eq. 1). Off, the foreground and the blended stream never meet.
        update_foreground: Writes the blended attention back into the foreground's (Eq. 2). Acts only with `blend`.
        share_attention: Self-attention of the blended and the background stream over both their tokens.
        share_noise: One draw of noise for all streams of a triplet; off, one draw for each.
        guidance_range: The part of the run in which classifier-free guidance acts, as `blend_range`; outside it only
            the conditional halves are computed, half of the rows (Kynkäänniemi et al. 2024).
        blend_range: The part of the run in which blending acts, as fractions of the steps: start ≤ i/n < end. In the
            first steps masks are half noise; begun after them, blending loses fewer faint subjects.
        blocks: Glob patterns of the transformer blocks in which blending acts ("up_blocks.*"); "*" takes all.
    """

    mask: Mask = "combined"
    boundary: float = 10.0
    mask_range: tuple[float, float] = (0.0, 1.0)
    align: float = 0.0
    detail: float = 0.0
    light: float = 1.0
    detail_range: tuple[float, float] = (0.5, 1.0)
    structure_layer: str | None = None
    structure_sign: int | None = None
    structure_from: StructureSource = "prior_pass"
    prior_range: tuple[float, float] = (0.0, 1.0)
    blend: bool = True
    update_foreground: bool = True
    share_attention: bool = True
    share_noise: bool = True
    guidance_range: tuple[float, float] = (0.0, 1.0)
    blend_range: tuple[float, float] = (0.0, 1.0)
    blocks: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        # JSON has no tuples: a configuration read from a file arrives with lists.
        for name in ("mask_range", "prior_range", "detail_range", "guidance_range", "blend_range", "blocks"):
            if not isinstance(value := getattr(self, name), (tuple, list)):
                raise LayerFusionError(f"{name} is {shown(value)}; give a tuple.")
            object.__setattr__(self, name, tuple(value))
        for name in ("boundary", "align", "detail", "light"):
            if not isinstance(value := getattr(self, name), Real):
                raise LayerFusionError(f"{name} is {shown(value)}; give a number.")
        if self.mask not in get_args(Mask):
            raise LayerFusionError(f"mask is {shown(self.mask)}; choose one of {', '.join(get_args(Mask))}.")
        if self.structure_from not in get_args(StructureSource):
            options = ", ".join(get_args(StructureSource))
            raise LayerFusionError(f"structure_from is {shown(self.structure_from)}; choose one of {options}.")
        if not 0 < self.boundary < float("inf"):
            raise LayerFusionError(f"boundary is {self.boundary}; give a number above 0 (the paper uses 10).")
        if len(self.mask_range) != 2 or not 0 <= self.mask_range[0] < self.mask_range[1] <= 1:
            raise LayerFusionError(f"mask_range is {shown(self.mask_range)}; give two quantiles, 0 <= low < high <= 1.")
        for name in ("align", "detail", "light"):
            if not 0 <= getattr(self, name) <= 1:
                raise LayerFusionError(f"{name} is {getattr(self, name)}; give a number from 0 to 1.")
        if self.structure_sign not in (None, 1, -1):
            raise LayerFusionError(f"structure_sign is {self.structure_sign}; give 1 (the paper's) or -1.")
        for name in ("blend_range", "prior_range", "detail_range", "guidance_range"):
            span = getattr(self, name)
            if len(span) != 2 or not 0 <= span[0] <= span[1] <= 1:
                raise LayerFusionError(f"{name} is {shown(span)}; give two fractions, 0 <= start <= end <= 1.")
        if not self.blocks:
            raise LayerFusionError('blocks is empty; give glob patterns, or turn blending off with "blend".')

    def blends_at(self, step: int, num_steps: int) -> bool:
        """Whether Eq. 1 acts at this step (counted from 0) of `num_steps`."""
        return self.blend and self.blend_range[0] <= step / num_steps < self.blend_range[1]

    def passes_at(self, step: int, num_steps: int) -> bool:
        """Whether a prior pass is made at this step (counted from 0) of `num_steps`."""
        within = self.prior_range[0] <= step / num_steps < self.prior_range[1]
        return self.structure_from == "prior_pass" and within

    def guides_at(self, step: int, num_steps: int) -> bool:
        """Whether classifier-free guidance acts at this step (counted from 0) of `num_steps`, where a run has it."""
        return self.guidance_range[0] <= step / num_steps < self.guidance_range[1]

    @classmethod
    def paper(cls) -> "LayerFusionConfig":
        """The paper's own switches, whatever a model's own are."""
        return cls()

    def exact(self) -> "LayerFusionConfig":
        """The same without what saves time: a prior pass before every step, and guidance throughout."""
        return replace(self, structure_from="prior_pass", prior_range=(0.0, 1.0), guidance_range=(0.0, 1.0))

    def details_at(self, step: int, num_steps: int) -> bool:
        """Whether detail is transferred at this step (counted from 0) of `num_steps`."""
        within = self.detail_range[0] <= step / num_steps < self.detail_range[1]
        return self.detail > 0 and within and self.blends_at(step, num_steps)

    def with_harmony(self, harmony: float) -> "LayerFusionConfig":
        """The same with one dial: 0 is faithful to the foreground's own colours, 1 harmonized with the scene.

        All of the detail is transferred, so that the subject is whole; up to one half, ever more in the light of the
        blended stream (η = √(2 · harmony)), and beyond it, its attention follows that light as well (λ = harmony − ½).

        Raises:
            LayerFusionError: it is not within 0 and 1.
        """
        if not 0 <= harmony <= 1:
            raise LayerFusionError(f"harmony is {harmony}; give a number from 0 (faithful) to 1 (harmonized).")
        return replace(self, detail=1.0, light=min(2 * harmony, 1.0) ** 0.5, align=max(harmony - 0.5, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them; `from_dict` gives the same configuration back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LayerFusionConfig":
        """The configuration `to_dict` wrote, or part of it.

        Raises:
            LayerFusionError: a key is unknown, or a value out of range or of the wrong type.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise LayerFusionError(f"the configuration has no setting {shown(unknown[0])}; remove it.")
        try:
            # As JSON, where a list is as good as a tuple, and otherwise strictly.
            return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "literal_error":
                cls(**{str(first["loc"][0]): first["input"]})  # says itself what there is to choose from
            if "error" in first.get("ctx", {}):
                raise LayerFusionError(str(first["ctx"]["error"])) from None
            name, value = first["loc"][0], shown(first["input"])
            raise LayerFusionError(
                f"the configuration has a value of the wrong type for {name}: {value}; mend it."
            ) from None
