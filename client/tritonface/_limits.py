"""The one place for what the client refuses before it reads, fetches or decodes."""

MAX_ENCODED_BYTES = 64 * 2**20
"""Size of one encoded image, as on the server."""

MAX_PIXELS = 64_000_000
"""Width x height of one image that is decoded here, read from its header first; as on the server."""

MAX_SIDE_PX = 32_768
"""The longer side of one image that is decoded here; as on the server."""

MIN_TILE_SIDE_PX = 32
"""Sides of `tiles=` from this to MAX_SIDE_PX, as on the server."""

MAX_REDIRECTS = 5
"""Redirects followed while an image is fetched."""

FETCH_TIMEOUT_S = 20.0
"""Time for fetching one image, redirects included."""

MAX_RETRY_DELAY_S = 2.0
"""Longest pause before an attempt is repeated, or a server is tried again."""

MAX_SHARED_BYTES = 2**29
"""Shared memory of one model; images beyond travel over the network."""
