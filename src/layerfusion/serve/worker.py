"""The worker: holds one model, takes runs from the store, writes their pictures, and shows life meanwhile."""

import logging
import os
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from layerfusion.errors import foreseen
from layerfusion.files import atomic_folder
from layerfusion.layers.formats import folder as layers_folder
from layerfusion.models.vocabulary import some_prompts
from layerfusion.runs import Progress, Request
from layerfusion.runs.generation import Generated, generate, generate_together
from layerfusion.runs.session import Session
from layerfusion.serve.previews import Previewer
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Run, Store
from layerfusion.serve.tidying import tidy
from layerfusion.serve.wire import describe_layers, of_the_server, without_places

logger = logging.getLogger("layerfusion.serve")
PAUSE = 0.02  # seconds between two looks at an empty queue
TIDY = 60.0  # seconds between two looks for what has expired
WARM_UP_STEPS = 2
STEPS_APART = 0.4  # seconds at least between two steps that are told: who draws them may share the processor


class Stopped(Exception):
    """The run at hand is not to be finished here: it was cancelled, or another worker has it."""


class Leaving(BaseException):
    """The worker is to stop; the run at hand waits for another."""


class Worker:
    """Works until it is told to stop.

    Args:
        settings: Of the service.
        name: Unique among all workers that ever shared the store.
    """

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        self.settings, self.name = settings, name or secrets.token_hex(8)
        self.store = Store(settings.database)
        self.stopping = threading.Event()
        self._session: tuple[bool, Session, Previewer] | None = None
        self._facts: dict[str, Any] | None = None
        self._tidied = -TIDY
        self._told = 0.0  # when a step was told last
        self._lock = threading.Lock()  # what is held is the store's word: no beat may read it while runs are taken
        self._held: set[str] = set()
        self._cancelled: set[str] = set()

    def run(self) -> None:
        """Load the model, then take runs until `stopping` is set; a run that it interrupts waits again."""
        beats = threading.Thread(target=self._beat, name="beat", daemon=True)
        beats.start()
        try:
            self._open(few_step=False)
            while not self.stopping.is_set():
                if self._tidied + TIDY < time.monotonic():
                    tidy(self.store, self.settings)
                    self._tidied = time.monotonic()
                if not self.work():
                    self.stopping.wait(PAUSE)
        except Leaving:
            pass
        finally:
            self.stopping.set()
            beats.join()
            self.store.release(self.name, begun=False)
            self.store.close()

    def work(self) -> int:
        """Take what waits longest and bring it to its end.

        Returns:
            How many runs that were.
        """
        with self._lock:
            runs = self.store.claim(self.name, self.settings.lease, self.settings.batch, self.settings.attempts)
            self._held |= {run.id for run in runs}
        if runs:
            self._bring_to_an_end(runs)
        return len(runs)

    def _bring_to_an_end(self, runs: list[Run]) -> None:
        """Sample runs together; what fails for one fails for all, and then each is tried alone."""
        try:
            self._tell(runs, Progress("loading"))
            session, previewer = self._open(bool(runs[0].request.get("fast")))
            requests = [session.completed(of_the_server(run.request, self.settings)) for run in runs]
            warnings = [[*session.warnings, *session.warnings_for(request)] for request in requests]

            def listen(progress: Progress) -> None:
                self._tell(runs, progress, previewer)

            made = list(generate_together(session, requests, listen))
            steps = requests[0].steps or 0
            self._tell(runs, Progress("writing", steps, steps))
        except Stopped:
            for run in runs:
                self.store.end(run, self.name, "cancelled")
        except Exception as error:
            if len(runs) == 1:
                return self._fail(runs[0], error)
            for run in runs:
                self._bring_to_an_end([run])
        else:
            for run, generated, said in zip(runs, made, warnings, strict=True):
                self._finish(run, generated, said)

    def _finish(self, run: Run, generated: Generated, warnings: list[str]) -> None:
        if run.id in self._cancelled:
            self.store.end(run, self.name, "cancelled")
            return
        try:
            result = self._write(run, generated, warnings)
        except Exception as error:
            self._fail(run, error)
        else:
            if not self.store.end(run, self.name, "done", result=result):
                shutil.rmtree(self.settings.results / run.folder, ignore_errors=True)

    def _fail(self, run: Run, error: Exception) -> None:
        sentence = foreseen(error)
        if sentence is None:
            logger.error("run %s failed", run.id, exc_info=error)
            sentence = "the service made a mistake; its log says which."
        # Where on this machine an upload lies is nobody's business.
        sentence = sentence.replace(f"{self.settings.uploads.absolute()}{os.sep}", "")
        self.store.end(run, self.name, "failed", error=sentence)

    def _tell(self, runs: list[Run], progress: Progress, previewer: Previewer | None = None) -> None:
        """Publish how far runs are, or leave them when nobody wants any of them."""
        if self.stopping.is_set():
            raise Leaving
        if all(run.id in self._cancelled or run.id not in self._held for run in runs):
            raise Stopped
        if progress.stage == "sampling":
            if progress.done > 1 and time.monotonic() < self._told + STEPS_APART:
                return
            self._told = time.monotonic()
        for index, run in enumerate(runs):
            previews = {} if progress.clean is None or previewer is None else previewer.draw(progress.clean, index)
            self.store.progress(run.id, progress.stage, progress.done, progress.total, previews)

    def _write(self, run: Run, generated: Generated, warnings: list[str]) -> dict[str, Any]:
        """Its pictures, layers and record, in one folder that is there whole or not at all."""
        generated = replace(generated, record=without_places(generated.record))
        stack = generated.triplet.to_stack(generated.record.to_dict())
        with atomic_folder(self.settings.results / run.folder) as place:
            generated.fill(place)
            (place / "layers").mkdir()
            layers_folder.write(stack, place / "layers")
        return {
            "seed": generated.record.request.seed,
            "width": stack.width,
            "height": stack.height,
            "pictures": [*generated.triplet.pictures(), *generated.figures],
            "layers": describe_layers(stack),
            "warnings": warnings,
        }

    def _open(self, few_step: bool) -> tuple[Session, Previewer]:
        """The model, the one that is in memory or the other form of it in its place."""
        if self._session is None or self._session[0] != few_step:
            self._session = None
            session = Session.open(self.settings.asked.model_copy(update={"fast": few_step}))
            _warm_up(session)
            self._session = (few_step, session, Previewer(session.pipeline))
            if not few_step:
                self._facts = {
                    "device": session.device,
                    "dtype": session.dtype,
                    "multiple": session.pipeline.size_multiple,
                    "warnings": list(session.warnings),
                }
                self.store.beat(self.name, self.settings.lease, self._facts)
        return self._session[1:]

    def _beat(self) -> None:
        while not self.stopping.wait(min(1.0, self.settings.lease / 4)):
            with suppress(Exception), self._lock:  # a busy disk; the next beat says the same
                self._held, self._cancelled = self.store.beat(self.name, self.settings.lease, self._facts)
        self.store.close()


def _warm_up(session: Session) -> None:
    """Two steps, so that the first run finds everything in its place."""
    foreground, background = some_prompts(session.vocabulary, 1)[0]
    request = Request(foreground_prompt=foreground, background_prompt=background, seed=0, steps=WARM_UP_STEPS)
    list(generate(session, request))
