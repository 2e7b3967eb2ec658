"""The one place for what the server refuses: bytes, pixels and batch sizes beyond these."""

MAX_ENCODED_BYTES = 64 * 2**20
"""Size of one encoded image; Triton's HTTP endpoint stops at the same figure."""

MAX_PIXELS = 64_000_000
"""Width x height of one image, read from its header before decoding (192 MB as decoded BGR)."""

MAX_SIDE_PX = 32_768
"""The longer side of one image."""

MAX_BATCH_SIZE = 32
"""Images in one request, and images a step merges into one execution."""

MIN_NETWORK_SIDE_PX = 32
MAX_NETWORK_SIDE_PX = 2048
"""Sides of the network's input that `img_size` may ask for."""
