"""What operators and clients ask of the service itself: the model, whether it lives, whether it works, how much."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field

import layerfusion
from layerfusion.models.vocabulary import some_prompts
from layerfusion.serve.store import ENDED
from layerfusion.serve.wire import FORMATS, Ready, Wire

router = APIRouter(tags=["service"])


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
    facts, own, settings = app.facts, app.model.defaults, app.settings
    size = list(app.size)
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
async def health(request: Request) -> Ready:
    """Whether this process answers and reaches its store."""
    request.app.store.waiting()
    return Ready(ready=True)


@router.get("/readyz", response_model=Ready)
async def ready(request: Request) -> Ready:
    """Whether a worker lives and has its model loaded; 503 where not."""
    if request.app.facts is None:
        raise HTTPException(503, "no worker has its model loaded; it is starting, or its log says why not.")
    return Ready(ready=True)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(generate_latest(request.app.registry), media_type=CONTENT_TYPE_LATEST)


class QueueCollector(Collector):
    """What the store says of the queue, whenever Prometheus asks; it outlives every process, as counters should."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def collect(self) -> Iterator[Metric]:
        store, room = self.app.store, self.app.settings.queue
        counts, totals = store.counts(), store.totals()
        for state in ("queued", "running"):
            said = f"Runs that are {state}."
            yield GaugeMetricFamily(f"layerfusion_runs_{state}", said, counts.get(state, 0))
        yield GaugeMetricFamily(
            "layerfusion_queue_room", "Runs that may still be queued.", room - counts.get("queued", 0)
        )
        yield GaugeMetricFamily(
            "layerfusion_oldest_queued_seconds", "How long the run that is next has waited.", store.oldest_waits()
        )
        yield GaugeMetricFamily(
            "layerfusion_worker_ready", "Whether a worker has its model loaded.", bool(self.app.facts)
        )
        ended = CounterMetricFamily("layerfusion_runs_ended", "Runs that have ended, by how.", labels=["state"])
        seconds = CounterMetricFamily("layerfusion_run_seconds", "What they took in all, by how.", labels=["state"])
        for state in ENDED:
            number, took = totals.get(state, (0, 0.0))
            ended.add_metric([state], number)
            seconds.add_metric([state], took)
        yield ended
        yield seconds
