"""What every face shares: a request in, triplets out.

from pathlib import Path
from layerfusion.runs import Request, Session, Target, generate

request = Request(foreground_prompt="a red fox", background_prompt="a snowy forest", seed=7)
session = Session.open(request)
for number, generated in enumerate(generate(session, request)):
    Target(Path(f"fox-{number}")).write(generated)
"""

from typing import TYPE_CHECKING

from layerfusion.lazy import lazily
from layerfusion.runs.progress import Listener, Progress
from layerfusion.runs.record import Record
from layerfusion.runs.request import Request
from layerfusion.runs.targets import Target, default_folder, plan_targets, reserved

if TYPE_CHECKING:
    from layerfusion.runs.generation import Generated, generate
    from layerfusion.runs.session import Session

__all__ = [
    "Generated",
    "Listener",
    "Progress",
    "Record",
    "Request",
    "Session",
    "Target",
    "default_folder",
    "generate",
    "plan_targets",
    "reserved",
]

# Requests are checked without torch.
__getattr__ = lazily(__name__, {"generation": ("Generated", "generate"), "session": ("Session",)})
