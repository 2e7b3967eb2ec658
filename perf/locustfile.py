"""How users behave: photos of mixed sizes over HTTP, Triton's own protocol, with pauses; for locust.

make bench-locust    (a server, and locust's web interface on http://127.0.0.1:8089)
locust -f perf/locustfile.py --host http://127.0.0.1:8000    (a server that runs already)

The variable LOCUST_MODEL names another model than BlazeFace.
"""

from __future__ import annotations

import os

import numpy as np
from locust import HttpUser, between, events, task
from tritonclient.http import InferenceServerClient, InferInput

from perf.locust_run import HEADER_LENGTH, faces_in
from perf.photos import photo

MODEL = os.environ.get("LOCUST_MODEL", "BlazeFace")
PATH = f"/v2/models/{MODEL}/infer"
SMALL_MEGAPIXELS, MEDIUM_MEGAPIXELS, LARGE_MEGAPIXELS = 0.3, 1.5, 6.0


@events.init.add_listener
def _make_photos(**_: object) -> None:
    for megapixels in (SMALL_MEGAPIXELS, MEDIUM_MEGAPIXELS, LARGE_MEGAPIXELS):
        photo(megapixels)


class Visitor(HttpUser):
    """Sends a photo, looks at the answer, sends the next."""

    wait_time = between(0.1, 0.5)

    @task(3)
    def small(self) -> None:
        """A thumbnail."""
        self.send(SMALL_MEGAPIXELS)

    @task(6)
    def medium(self) -> None:
        """What most photos on the web are."""
        self.send(MEDIUM_MEGAPIXELS)

    @task(1)
    def large(self) -> None:
        """From a camera."""
        self.send(LARGE_MEGAPIXELS)

    def send(self, megapixels: float) -> None:
        """One request; an answer without faces counts as a failure, because the photo is full of them."""
        image = InferInput("image", [1, 1], "BYTES")
        image.set_data_from_numpy(np.array([[photo(megapixels)]], object))
        body, header_length = InferenceServerClient.generate_request_body([image])
        headers = {HEADER_LENGTH: str(header_length)}
        name = f"{megapixels:g} megapixels"
        with self.client.post(PATH, data=body, headers=headers, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(str(response.error or f"{response.status_code}: {response.text[:200]}"))
            elif not faces_in(response.content, int(response.headers.get(HEADER_LENGTH, len(response.content)))):
                response.failure("no faces in the answer")
