"""The page as a program: on this machine only, with limits, and without any request to elsewhere."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from tritonface._connection import Connection
from tritonface._errors import InvalidArgumentError
from tritonface._limits import MAX_PIXELS

HOST, PORT = "127.0.0.1", 7860
MAX_UPLOAD_BYTES = 512 * 2**20
"""Of one file, counted while it comes in; photos have a lower limit of the SDK's, looked at before they are decoded."""
MAX_EVENT_BYTES = 16 * 2**20
"""Of a request that is no upload; the largest are the camera's pictures."""
UPLOAD = "/upload"
PREFIX = "tritonface-web-"
CLOSE_TIMEOUT_S = 2
HOSTS = ["127.0.0.1", "localhost"]
POLICY = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; object-src 'none'"
)
"""What browsers enforce: whatever is in the page, nothing is loaded from elsewhere, and nothing is sent there."""
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
WITHOUT_NETWORK = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def run(connection: Connection, port: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        InvalidArgumentError: Gradio is not installed, or the port is taken.
    """
    with _listener(port) as listener, tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        os.environ.update(WITHOUT_NETWORK, GRADIO_TEMP_DIR=str(Path(folder, "cache")))
        application = _application(connection, Path(folder))
        import uvicorn

        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=CLOSE_TIMEOUT_S)
        print(
            f"open http://{HOST}:{listener.getsockname()[1]} in a browser on this machine; Ctrl-C ends it", flush=True
        )
        with suppress(KeyboardInterrupt):  # which it raises anew when it has ended
            uvicorn.Server(config).run(sockets=[listener])


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(
            f"the page cannot listen on {HOST}:{port}: {reason}; pass another --port (`make web WEB_PORT=7861`)"
        ) from None


def _application(connection: Connection, folder: Path) -> Any:
    try:
        import gradio
        from fastapi import FastAPI
        from fastapi.middleware.trustedhost import TrustedHostMiddleware
        from gradio import processing_utils
        from PIL import Image

        from tritonface._web.detectors import Detectors
        from tritonface._web.page import make_page
    except ImportError as error:
        raise InvalidArgumentError(f"the page needs Gradio: pip install 'tritonface[web]' ({error})") from None
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice as many, in the camera's pictures too
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)  # no other site's name for this address
    application.add_middleware(Policy)
    page = make_page(Detectors(connection), folder)
    page.has_launched = True  # only then Gradio refuses paths beyond its uploads; a mounted page it forgets
    processing_utils.async_ssrf_protected_download = _refuse_address
    theme = gradio.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )
    return gradio.mount_gradio_app(
        application,
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        max_file_size=MAX_UPLOAD_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme,
        css_paths=Path(__file__).with_name("page.css"),
    )


async def _refuse_address(url: str, cache_dir: str) -> str:
    """In place of what would fetch an address that a request made by hand has instead of an upload."""
    raise ValueError("an address is no upload: nothing is fetched here")


class Policy:
    """Adds what browsers are to enforce to each answer, and refuses requests that are too large for what they are."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["path"].endswith(UPLOAD):
            length = dict(scope["headers"]).get(b"content-length", b"")
            if not length.isdigit() or int(length) > MAX_EVENT_BYTES:
                await send({"type": "http.response.start", "status": 413, "headers": []})
                await send({"type": "http.response.body", "body": b"an event has at most 16 MiB"})
                return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._application(scope, receive, send_with_policy)
