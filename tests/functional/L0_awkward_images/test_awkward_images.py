"""The corpus of awkward files through a running server: what is taken, what is said of it, what is refused."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.corpus.files import File, corpus
from tritonface_server.image_file import CUT_OFF
from tritonface_server.limits import MAX_BATCH_SIZE
from tritonface_server.server import TritonServer

CORPUS = corpus()
GOOD = next(file for file in CORPUS if file.refusal is None and not file.cut_off)
CUT = next(file for file in CORPUS if file.cut_off)


def infer(server: TritonServer, client: ModuleType, files: list[File], strict: list[bool] | None) -> list[list[str]]:
    """The rows of `error` and `warning`."""
    images = np.array([[file.data] for file in files], object)
    tensors = {"image": (images, "BYTES"), "img_size": (np.full((len(files), 2), 32, np.int32), "INT32")}
    if strict is not None:
        tensors["strict"] = (np.array(strict)[:, None], "BOOL")
    inputs = []
    for name, (array, kind) in tensors.items():
        inputs.append(client.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    url = server.endpoints.grpc if client is tritonclient.grpc else server.endpoints.http
    with client.InferenceServerClient(url) as connection:
        reply = connection.infer("BlazeFace", inputs)
    return [[row.decode() for row in reply.as_numpy(name)[:, 0]] for name in ("error", "warning")]


@pytest.mark.fault("A4")
@pytest.mark.fault("A9")
@pytest.mark.parametrize("client", [tritonclient.grpc, tritonclient.http], ids=["grpc", "http"])
def test_the_corpus(server: TritonServer, client: ModuleType) -> None:
    for start in range(0, len(CORPUS), MAX_BATCH_SIZE - 1):
        files = [GOOD, *CORPUS[start : start + MAX_BATCH_SIZE - 1]]
        for file, error, warning in zip(files, *infer(server, client, files, None)):
            assert bool(error) == bool(file.refusal), file
            assert warning == (CUT_OFF if file.cut_off else ""), file


@pytest.mark.fault("A4")
@pytest.mark.parametrize("client", [tritonclient.grpc, tritonclient.http], ids=["grpc", "http"])
def test_strictness_is_a_matter_of_each_image(server: TritonServer, client: ModuleType) -> None:
    errors, warnings = infer(server, client, [GOOD, CUT, CUT, GOOD], [True, True, False, False])
    assert ["cut off" in error for error in errors] == [False, True, False, False]
    assert warnings == ["", "", CUT_OFF, ""]
    with pytest.raises(tritonclient.utils.InferenceServerException, match="cut off, and `strict`"):
        infer(server, client, [CUT], [True])
