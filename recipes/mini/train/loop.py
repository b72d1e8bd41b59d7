"""The loop all stages share: a budget in pictures, AdamW, EMA, a log, checkpoints from which a stage goes on."""

import json
import math
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from layerfusion.files import atomic_write

WARMUP = 100
"""Steps over which the learning rate rises to its peak."""


SAVE_MINUTES, SHEET_MINUTES = 2.5, 12.0
TRIALS, CLEAR = 6, 5.0
"""Steps of each precision whose times are compared at the start of a sitting, after two that warm up; and how many
times as long one takes where that is seen without them: a step in bfloat16 may take a minute."""


class Loop:
    """Trains modules on a number of pictures and keeps their state in `run/stage.safetensors`.

    The learning rate falls as a cosine of the pictures seen. A stage that was stopped goes on from its last checkpoint,
    with the pictures it had left; one that `start` began from a finished model begins at step 0 with its weights.

    On a CPU the first steps alternate between float32 and bfloat16 autocast, and the faster one stays: which it is
    differs by a factor of ten either way between processors. What was chosen stands in `run/machine.jsonl`.

    Args:
        run: folder of the run.
        stage: name of the stage; names its log and checkpoint.
        modules: what trains, by name.
        images: budget in pictures, repetitions counted.
        peak: highest learning rate.
        ema: decay of the averaged weights.
        device: where the modules are.
    """

    def __init__(
        self,
        run: Path,
        stage: str,
        modules: dict[str, nn.Module],
        images: int,
        peak: float,
        ema: float,
        device: torch.device,
    ) -> None:
        self.run, self.stage, self.images, self.peak, self.device = run, stage, images, peak, device
        self.modules = nn.ModuleDict(modules)
        self.parameters = [p for p in self.modules.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=peak, betas=(0.9, 0.99), weight_decay=0.01)
        self.ema = EMAModel(self.parameters, decay=ema, foreach=True)
        self.step, self.seen, self.spent = 0, 0, 0.0
        self.bfloat16 = device.type != "cpu"
        self.trials: dict[bool, list[float]] = {False: [], True: []}
        self.trying = device.type == "cpu"
        self.checkpoint = run / f"{stage}.safetensors"
        run.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._load()

    @property
    def progress(self) -> float:
        """Share of the pictures that is seen, 0 to 1."""
        return 1.0 if self.seen >= self.images else self.seen / self.images

    def autocast(self) -> torch.autocast:
        """The context in which a stage runs its forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def steps(self) -> Iterator[tuple[int, bool]]:
        """Yield (step, whether a sample sheet is due) until the pictures are seen, and save now and then."""
        since = time.monotonic()
        saved = shown = self.spent
        while self.progress < 1:
            if self.spent - saved >= SAVE_MINUTES * 60:
                saved = self.spent
                self.save()
            due = self.spent - shown >= SHEET_MINUTES * 60
            if due:
                shown = self.spent
            yield self.step, due
            now = time.monotonic()
            self.spent, took, since = self.spent + now - since, now - since, now
            if self.trying:
                self._try(took)
        self.save()

    def _try(self, seconds: float) -> None:
        """Note what a step took, and change the precision; after the last trial, keep the faster."""
        self.trials[self.bfloat16].append(seconds)
        self.bfloat16 = not self.bfloat16
        rounds = min(map(len, self.trials.values()))
        if rounds < 2:
            return
        times = {name: statistics.median(taken[min(2, rounds - 1) :]) for name, taken in self.trials.items()}
        self.trying = rounds < TRIALS + 2 and max(times.values()) < CLEAR * min(times.values())
        if self.trying:
            return
        self.bfloat16 = times[True] < times[False]
        found = {
            "stage": self.stage,
            "step": self.step,
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "seconds_float32": round(times[False], 4),
            "seconds_bfloat16": round(times[True], 4),
            "chosen": "bfloat16" if self.bfloat16 else "float32",
        }
        with (self.run / "machine.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")

    def update(self, loss: Tensor, batch: int, **parts: float) -> None:
        """One optimizer step on a batch of pictures; the loss and its parts go to the log every 20 steps."""
        warm = min(1.0, (self.step + 1) / WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * warm * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * self.progress)))
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.parameters)
        self.step, self.seen = self.step + 1, self.seen + batch
        if self.step % 20 == 0:
            entry = {"stage": self.stage, "step": self.step, "minute": round(self.spent / 60, 2), "loss": loss.item()}
            entry |= {"pictures": self.seen, **parts}
            with (self.run / f"{self.stage}.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        """Write weights, averages and optimizer state, whole or not at all."""
        state = {f"model.{name}": value.contiguous() for name, value in self.modules.state_dict().items()}
        state |= {f"ema.{i}": value.contiguous() for i, value in enumerate(self.ema.shadow_params)}
        for i, entry in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{name}": value for name, value in entry.items()}
        numbers = {"step": str(self.step), "seen": str(self.seen), "spent": str(self.spent)}
        with atomic_write(self.checkpoint) as path:
            save_file(state, path, metadata={**numbers, "modules": ",".join(self.modules)})

    def _load(self) -> None:
        with safe_open(self.checkpoint, "pt") as file:
            numbers = file.metadata()
        self.step, self.seen, self.spent = int(numbers["step"]), int(numbers["seen"]), float(numbers["spent"])
        state = load_file(self.checkpoint, device=str(self.device))
        self.modules.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})
        self.ema.shadow_params = [state[f"ema.{i}"] for i in range(len(self.parameters))]
        self.ema.optimization_step = self.step
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value.cpu() if name == "step" else value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})


def load_averaged(run: Path, stage: str, modules: dict[str, nn.Module]) -> None:
    """Fill modules, frozen or not, with the averaged weights of a stage's last checkpoint."""
    state = load_file(run / f"{stage}.safetensors")
    holder = nn.ModuleDict(modules)
    holder.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})
    for i, parameter in enumerate(holder.parameters()):
        parameter.data.copy_(state[f"ema.{i}"])
