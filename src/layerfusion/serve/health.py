"""What operators and clients ask of the service itself: the model, whether it lives, whether it works, how much."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from pydantic import Field

import layerfusion
from layerfusion.models.vocabulary import some_prompts
from layerfusion.serve.wire import FORMATS, Ready, Wire

router = APIRouter(tags=["service"])
STATES = ("queued", "running", "done", "failed", "cancelled")


class ModelInfo(Wire):
    """What this service draws with, and what it knows."""

    name: str
    version: Annotated[str, Field(description="Of layerfusion.")]
    ready: Annotated[bool, Field(description="Whether it is loaded.")]
    says: Annotated[str, Field(description="In one line, for people.")]
    size: Annotated[list[int], Field(description="Width and height where a request says none.")]
    sizes: Annotated[list[list[int]], Field(description="Some that suit it.")]
    multiple: Annotated[int | None, Field(description="What both sides must be multiples of, once it is loaded.")]
    largest: Annotated[list[int], Field(description="The most that may be asked for.")]
    steps: Annotated[int, Field(description="The most sampling steps.")]
    fast: Annotated[bool, Field(description="Whether it has a few-step form.")]
    defaults: Annotated[dict[str, Any], Field(description="Settings where a request says nothing.")]
    harmony: Annotated[dict[str, float], Field(description="The dial's ends and the model's own value.")]
    vocabulary: Annotated[dict[str, list[str]] | None, Field(description="What it knows, by group; null: any words.")]
    ideas: Annotated[dict[str, list[str]], Field(description="Prompts that it manages.")]
    formats: Annotated[list[str], Field(description="Of exports.")]


@router.get("/v1/model", response_model=ModelInfo)
def describe_model(request: Request) -> ModelInfo:
    """The model, its defaults and limits, and its vocabulary."""
    app = request.app
    facts, own, settings = app.store.facts(settings_fresh(app)), app.model.defaults, app.settings
    size = list(own.size or (1024, 1024))
    groups = app.vocabulary.groups() if app.vocabulary else None
    pairs = some_prompts(app.vocabulary, 40)
    return ModelInfo(
        name=app.model.name,
        version=layerfusion.__version__,
        ready=facts is not None,
        says=f"{app.model.name}, {size[0]} × {size[1]}" + (f", on {facts['device']}" if facts else ""),
        size=size,
        sizes=[size, [size[0], size[1] * 3 // 4], [size[0] * 3 // 4, size[1]]],
        multiple=facts["multiple"] if facts else None,
        largest=[side * settings.scale for side in size],
        steps=settings.steps,
        fast=app.has_few_steps,
        defaults=own.to_dict(),
        harmony={"least": 0.0, "most": 1.0, "default": own.config.light**2 / 2 + own.config.align},
        vocabulary={group: [entry.name for entry in entries] for group, entries in groups.items()} if groups else None,
        ideas={
            "foreground": list(dict.fromkeys(foreground for foreground, _ in pairs)),
            "background": list(dict.fromkeys(background for _, background in pairs)),
        },
        formats=list(FORMATS),
    )


@router.get("/healthz", response_model=Ready)
def health(request: Request) -> Ready:
    """Whether this process answers and reaches its store."""
    request.app.store.waiting()
    return Ready(ready=True)


@router.get("/readyz", response_model=Ready)
def ready(request: Request, response: Response) -> Ready:
    """Whether a worker lives and has its model loaded; 503 where not."""
    if request.app.store.facts(settings_fresh(request.app)) is None:
        response.status_code = 503
        return Ready(ready=False, reason="no worker has its model loaded; it is starting, or its log says why not.")
    return Ready(ready=True)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """For Prometheus."""
    store = request.app.store
    registry = CollectorRegistry()
    counts = store.counts()
    runs = Gauge("layerfusion_runs", "Runs that are kept, by where they stand.", ["state"], registry=registry)
    for state in STATES:
        runs.labels(state).set(counts.get(state, 0))
    Gauge("layerfusion_queue_room", "Runs that may still be queued.", registry=registry).set(
        max(0, request.app.settings.queue - counts.get("queued", 0))
    )
    Gauge("layerfusion_run_seconds", "What the last runs took, on average.", registry=registry).set(
        store.seconds_each()
    )
    Gauge("layerfusion_worker_ready", "Whether a worker has its model loaded.", registry=registry).set(
        store.facts(settings_fresh(request.app)) is not None
    )
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def settings_fresh(app: Any) -> float:
    """Seconds after which a silent worker counts as gone."""
    return float(app.settings.lease)
