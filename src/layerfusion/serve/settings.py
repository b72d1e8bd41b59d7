"""How the service is set up, as `layerfusion serve` takes it."""

from dataclasses import dataclass
from pathlib import Path

from layerfusion.runs import Request

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """What is the same for the processes of one service.

    Attributes:
        data: The folder that holds everything that lasts.
        asked: Names the model, its device and type; its prompts are of no account.
        token: What clients must show; None where only this machine is listened to.
        hosts: The names by which clients may call this server, besides those of the loopback.
        queue: How many runs may wait; further ones are answered with 429.
        batch: How many equal runs are sampled at once; 1 keeps every picture the command's own to the bit.
        lease: Seconds after which a run of a worker that shows no life is given to another.
        attempts: How often a run may kill its worker before it is given up.
        keep: Seconds for which results and uploads are kept.
        upload_bytes, upload_pixels: The most of one uploaded picture.
        scale: How many times the model's own width and height a run may ask for.
        steps: The most sampling steps of a run.
    """

    data: Path
    asked: Request = Request.of_model({})  # noqa: RUF009 (immutable)
    token: str | None = None
    hosts: tuple[str, ...] = ()
    queue: int = 64
    batch: int = 1
    lease: float = 10.0
    attempts: int = 5
    keep: float = 7 * 86_400.0
    upload_bytes: int = 32 << 20
    upload_pixels: int = 1 << 24
    scale: int = 2
    steps: int = 150

    @property
    def database(self) -> Path:
        return self.data / "jobs.sqlite3"

    @property
    def results(self) -> Path:
        return self.data / "results"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"
