"""The one place for what the server refuses: bytes, pixels and batch sizes beyond these."""

MAX_ENCODED_BYTES = 64 * 2**20
"""Size of one encoded image; Triton's HTTP endpoint stops at the same figure."""

MAX_PIXELS = 64_000_000
"""Width x height of one image, read from its header before decoding. The server decodes JPEGs that are larger than the
next limit at 1/2, so that none costs more than that one's."""

MAX_WHOLE_PIXELS = 25_000_000
"""The same for what can only be decoded whole: PNG, WebP, BMP, progressive JPEG. Each pixel costs up to 9 bytes and, as
PNG of 16 bits with transparency, 40 ns: less than 300 MB and about a second of a core."""

MAX_SIDE_PX = 32_768
"""The longer side of one image."""

MAX_BATCH_SIZE = 32
"""Images in one request, and images a step merges into one execution."""

MAX_TILES = MAX_BATCH_SIZE - 1
"""Tiles of one image, which is looked at as a whole as well; a request of as many pictures."""

MAX_REQUEST_ENCODED_BYTES = MAX_ENCODED_BYTES
"""The encoded images of one request together."""

MAX_REQUEST_BYTES = 64 * 2**20
"""Pictures of one request as the network sees them, count x width x height x 3, known before anything is decoded: 32 of
832x832, 5 of 2048x2048. Each tensor between two steps is held to it as well. What crosses into another step lies in
/dev/shm twice, and the pools there never shrink."""

MAX_CLASSES = 100
"""Kinds of things that a detector tells apart. Suppression goes through each of them: 6 ms at worst for 5,000 boxes."""

MAX_REQUEST_ID_BYTES = 1024
"""Triton copies a request's id into every step."""

MIN_NETWORK_SIDE_PX = 32
MAX_NETWORK_SIDE_PX = 2048
"""Sides of the network's input that `img_size` may ask for."""
