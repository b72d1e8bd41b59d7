"""From a face to a running service: everything that can be refused is refused before anything is started."""

import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from layerfusion.errors import LayerFusionError
from layerfusion.models import locate
from layerfusion.serve.settings import LOOPBACK, Settings

NEEDS = ("fastapi", "uvicorn", "prometheus_client", "multipart")
SHORTEST_TOKEN = 16


def start(settings: Settings, host: str, port: int, say: Callable[[str], None], browse: bool = False) -> None:
    """Listen, and serve until Ctrl-C or SIGTERM.

    Args:
        port: 0 takes any that is free.
        say: Told the address.
        browse: Whether to open it in this machine's browser.

    Raises:
        LayerFusionError: a package or the model is missing, the address cannot be listened at or is open to others
            without a token, or another service has the folder.
    """
    if any(find_spec(name) is None for name in NEEDS):
        raise LayerFusionError("the service needs packages that are missing; run: pip install 'layerfusion[studio]'.")
    from layerfusion.serve import supervisor

    locate(settings.asked.model, **settings.asked.on_top())
    listening = _bind(host, port, settings.token)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
    say(address)
    if browse:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    supervisor.serve(settings, listening)


def read_token(file: Path | None) -> str | None:
    """The token that clients must show: a file's content, or LAYERFUSION_TOKEN; None without either.

    Raises:
        LayerFusionError: the file cannot be read, or the token is too short or no plain text.
    """
    if file is None:
        token = os.environ.get("LAYERFUSION_TOKEN", "").strip()
        if not token:
            return None
    else:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise LayerFusionError(f"{file} cannot be read as text; give a file that holds the token.") from None
    if len(token) < SHORTEST_TOKEN or not all("!" <= c <= "~" and c not in '";,\\' for c in token):
        raise LayerFusionError(
            f"the token must be at least {SHORTEST_TOKEN} letters and digits; make one: openssl rand -hex 24"
        )
    return token


def _bind(host: str, port: int, token: str | None) -> socket.socket:
    if host not in LOOPBACK and not token:
        raise LayerFusionError(
            f"{host} can be reached by others; set a token (LAYERFUSION_TOKEN or --token-file), or keep to 127.0.0.1."
        )
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = error.strerror or error
        raise LayerFusionError(f"{host}:{port} cannot be listened at ({reason}); choose another --port.") from None
