"""A web application with the asyncio client: photos are uploaded, faces come back as JSON.

    uvicorn --app-dir examples --port 8080 fastapi_app:app      # 8000 is the server's own
    curl --form photo=@photo.jpg http://127.0.0.1:8080/faces

Settings are those of the SDK (TRITONFACE_URL), and DETECTOR. One model serves all requests; each of them is one image
under way, and how many there are at once is the server's affair: it answers when it has no room, and that is passed on.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, UploadFile

from tritonface import DeadlineExceededError, ImageError, ServerUnavailableError, create_async_model

MAX_UPLOAD_BYTES = 20 * 2**20


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One connection for the life of the application."""
    async with create_async_model(os.environ.get("DETECTOR", "BlazeFace")) as model:
        app.state.model = model
        yield


app = FastAPI(title="Faces", lifespan=lifespan)


@app.post("/faces")
async def faces(request: Request, photo: UploadFile, threshold: float | None = None) -> dict[str, object]:
    """The faces of a photo: boxes are [xmin, ymin, xmax, ymax] in pixels of the upright photo."""
    data = await photo.read(MAX_UPLOAD_BYTES + 1)
    if len(data) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"the photo is larger than {MAX_UPLOAD_BYTES:,} bytes")
    url = f"data:image/*;base64,{base64.b64encode(data).decode()}"  # the content decides what it is
    try:
        async for result in request.app.state.model.predict(url, threshold=threshold):
            return {"file_name": photo.filename, "size_wh": result.size_wh, "boxes": result["boxes"]}
    except ImageError as error:
        raise HTTPException(422, str(error)) from error
    except ServerUnavailableError as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "1"}) from error
    except DeadlineExceededError as error:
        raise HTTPException(504, str(error)) from error
    raise HTTPException(500, "the detector gave no result")
