"""The demo: a real Triton server finds the faces of `demo/photos` and stops again."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tritonface import create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import LaunchError
from tritonface_server.server import TritonServer, undrained

MODEL_REPOSITORY = Path(__file__).parents[1] / "model_repository"
PHOTOS = sorted((Path(__file__).parent / "photos").glob("*.jpg"))
OUTPUT = Path("output")
DETECTOR = "PP-YOLOE_plus-S_face"


def main() -> None:
    """Serve, detect, print, save."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        with undrained(TritonServer(MODEL_REPOSITORY, Endpoints.free(), Path(folder, "tritonserver.log"))) as server:
            print(f"Triton is ready on {server.endpoints.grpc} after {time.perf_counter() - started:.1f} s\n")
            with create_model(DETECTOR, url=server.endpoints.grpc) as model:
                for result in model.predict(PHOTOS, batch_size=2):
                    result.print(format_json=False)
                    result.save_to_img(OUTPUT)
                    result.save_to_json(OUTPUT)
                    print(f"-> {len(result['boxes'])} faces\n")
        print(f"The server has stopped. Pictures and JSON are in {OUTPUT}/")


if __name__ == "__main__":
    try:
        main()
    except LaunchError as error:
        sys.exit(f"error: {error}")
