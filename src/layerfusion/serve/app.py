"""The application: routes over the store. It knows no torch; what takes long is the worker's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

import layerfusion
from layerfusion.errors import LayerFusionError, foreseen
from layerfusion.models import ModelFiles, Vocabulary, locate, read_vocabulary
from layerfusion.models.locate import FEW_STEP
from layerfusion.serve import exports, health, images, pictures, runs
from layerfusion.serve.guard import Guard, error_body
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import KeyTaken, QueueFull, Run, Store
from layerfusion.serve.watch import Watch
from layerfusion.serve.wire import alike, checked

SDXL_SIZE = (1024, 1024)


class Service(FastAPI):
    """The application with what its routes share.

    Attributes:
        settings: Of the service.
        store: The queue.
        watch: Tells of changes in it.
        model: Where the model's files are, and its defaults.
        vocabulary: What it knows; None of a model that takes any words.
        has_few_steps: Whether there is a few-step form of it.
        registry: Of the metrics.
        heavy: How many pictures or layered files are worked on at once: each may take hundreds of megabytes.
        reading: How many large bodies are read at once.
    """

    settings: Settings
    store: Store
    watch: Watch
    model: ModelFiles
    vocabulary: Vocabulary | None
    has_few_steps: bool
    registry: CollectorRegistry
    heavy: asyncio.Semaphore
    reading: asyncio.Semaphore

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the worker says of the loaded model; None where none is ready."""
        return self.store.facts(self.settings.lease)

    @property
    def size(self) -> tuple[int, int]:
        """The model's own width and height."""
        return self.model.defaults.size or SDXL_SIZE

    def submit(self, asked: dict[str, Any], key: str | None = None) -> tuple[Run, bool]:
        """Check a request and put it in the queue; see `Store.submit`."""
        facts = self.facts
        request = checked(asked, self.settings, self.size, facts["multiple"] if facts else None)
        return self.store.submit(request, alike(request), self.settings.queue, key)


def create_app(settings: Settings) -> Service:
    """The application of a service.

    Raises:
        LayerFusionError: the model cannot be found.
    """
    app = Service(
        title="LayerFusion",
        version=layerfusion.__version__,
        description="Two prompts in, layers out.",
        docs_url=None,
        redoc_url=None,
        lifespan=_living,
        responses={status: {"model": runs.ErrorBody, "description": said} for status, said in runs.REFUSALS.items()},
    )
    asked = settings.asked
    settings.results.mkdir(parents=True, exist_ok=True)
    settings.uploads.mkdir(parents=True, exist_ok=True)
    app.settings, app.store = settings, Store(settings.database)
    app.watch = Watch(app.store)
    app.model = locate(asked.model, **asked.on_top())
    app.vocabulary = read_vocabulary(app.model.path) if app.model.path.is_dir() else None
    app.registry, app.heavy, app.reading = CollectorRegistry(), asyncio.Semaphore(2), asyncio.Semaphore(8)
    app.registry.register(health.QueueCollector(app))
    app.has_few_steps = app.model.layout != "layerfusion" or (app.model.path / FEW_STEP).is_file()
    for part in (runs, pictures, exports, images, health):
        app.include_router(part.router)
    app.add_exception_handler(LayerFusionError, _unprocessable)
    app.add_exception_handler(QueueFull, _full)
    app.add_exception_handler(KeyTaken, _taken)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _mistake)
    if (page := _page()) is not None:
        app.mount("/", StaticFiles(directory=page, html=True), name="studio")
    app.add_middleware(Guard, settings=settings, registry=app.registry)
    return app


@asynccontextmanager
async def _living(app: Any) -> AsyncIterator[None]:
    async with app.watch.running():
        yield


def _page() -> Path | None:
    """The studio's files, where the package has them."""
    folder = Path(str(resources.files(layerfusion))) / "studio"
    return folder if (folder / "index.html").is_file() else None


def _error(status: int, message: str, code: str | None = None, **headers: str) -> Response:
    return JSONResponse(error_body(status, message, code), status, {k.replace("_", "-"): v for k, v in headers.items()})


def _unprocessable(request: Request, error: Exception) -> Response:
    return _error(422, str(error))


def _full(request: Request, error: Exception) -> Response:
    seconds = error.seconds if isinstance(error, QueueFull) else 1
    return _error(429, f"the queue is full; come back in {seconds} s.", "queue_full", retry_after=str(seconds))


def _taken(request: Request, error: Exception) -> Response:
    return _error(409, "this Idempotency-Key came with another request before; take a new one.", "key_taken")


def _invalid(request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    body = error_body(
        422, f"wrong value for {where or 'the body'}: {first.get('msg', 'mend it')}.", param=where or None
    )
    return JSONResponse(body, 422)


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    body = error_body(error.status_code, str(error.detail))
    return JSONResponse(body, error.status_code, error.headers)


def _mistake(request: Request, error: Exception) -> Response:
    sentence = foreseen(error)
    return _error(503 if sentence else 500, sentence or "the service made a mistake; its log says which.")
