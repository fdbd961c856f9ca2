"""limits: sizes that both ends keep to. Apart from channel, so that a process without gRPC knows them too."""

from __future__ import annotations

MESSAGE_BYTES = 4 * 1024 * 1024
INLINE_RESULT_BYTES = 256 * 1024
INLINE_ATTACHMENT_BYTES = 64 * 1024
OUTPUT_CHUNK_BYTES = 32 * 1024
OUTPUT_DELAY = 0.1
BLOB_CHUNK_BYTES = 256 * 1024
RESULT_BYTES = 64 * 1024 * 1024
