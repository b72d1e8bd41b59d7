"""What can be refused of a run before torch is imported: well within a second, where loading takes many."""

from layerfusion.defaults import check_size
from layerfusion.models.devices import absent, check_offload, may_have, parse_device
from layerfusion.models.footprint import footprint
from layerfusion.models.locate import here
from layerfusion.models.presets import PLAIN_SDXL, PRESETS, read_defaults
from layerfusion.models.whole import check_files
from layerfusion.runs.record import Record
from layerfusion.runs.request import Request


def preflight(request: Request, repeated: Record | None = None) -> None:
    """Refuse what needs no weights to be seen: device, offload, a model's name and files, switches, size, memory.

    Args:
        request: What is asked for.
        repeated: The run that it repeats: what only the record asks of the machine is replaced by what there is.

    Raises:
        LayerFusionError: it cannot be done.
    """
    backend = _backend(request, repeated)
    if repeated is None or request.offload != repeated.request.offload:
        check_offload(request.offload, backend)
    path = here(request.model)
    if path is None:
        return  # only the hub knows
    check_files(path)
    needs = footprint(path)
    preset = PRESETS.get(request.model, PLAIN_SDXL)
    own = read_defaults(path, preset.defaults) if path.is_dir() else preset.defaults
    request.varied(own.config)
    width, height = own.size or needs.size
    width, height = request.width or width, request.height or height
    if (request.width or request.height) and (path / "transparent_decoder").is_dir():
        check_size(width, height, needs.multiple)
    pictures = (request.foreground_image, request.background_image, request.blended_image)
    size_is_known = request.width or not any(pictures)  # otherwise theirs is taken
    if backend == "cpu" and size_is_known:
        guidance = own.guidance_scale if request.guidance_scale is None else request.guidance_scale
        batch, dtype = request.batch_size or 1, request.dtype or "float32"
        needs.check(width, height, batch, guidance > 1, dtype, foregrounds=request.subjects)


def _backend(request: Request, repeated: Record | None) -> str:
    """The kind of device that the run will be on, as far as that is certain; "cuda" where a GPU may be there."""
    if request.device is not None:
        backend, _ = parse_device(request.device)
        if may_have(backend):
            return backend
        if repeated is None or request.device != repeated.request.device:
            raise absent(backend)
    return next(backend for backend in ("cuda", "mps", "cpu") if may_have(backend))
