"""The clean latent that the UNet's output speaks of, whatever it predicts."""

from diffusers.schedulers import SchedulerMixin
from torch import Tensor

from layerfusion.errors import LayerFusionError


def clean_from_prediction(scheduler: SchedulerMixin, t: Tensor) -> tuple[float, float]:
    """(a, b) of x̂ = a x + b out: the clean latent that the UNet's output speaks of, x the latent as the UNet takes it.

    With ᾱ the scheduler's cumulative product at t, and what the output predicts:

        noise       x̂ = (x − √(1−ᾱ) out) / √ᾱ
        velocity    x̂ = √ᾱ x − √(1−ᾱ) out
        sample      x̂ = out

    Raises:
        LayerFusionError: the scheduler is of another family.
    """
    if not tells_the_clean(scheduler):
        raise LayerFusionError(
            f"detail cannot be transferred with a {type(scheduler).__name__}; take another scheduler, or detail=0."
        )
    product = float(scheduler.alphas_cumprod[round(float(t))])
    signal, sigma, predicted = product**0.5, (1 - product) ** 0.5, scheduler.config.get("prediction_type")
    if predicted == "epsilon":
        return 1 / signal, -sigma / signal
    return (signal, -sigma) if predicted == "v_prediction" else (0.0, 1.0)


def tells_the_clean(scheduler: SchedulerMixin) -> bool:
    """Whether `clean_from_prediction` knows the scheduler's family."""
    predicted = scheduler.config.get("prediction_type")
    return predicted in ("epsilon", "v_prediction", "sample") and hasattr(scheduler, "alphas_cumprod")
