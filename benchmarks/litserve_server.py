"""LitServe with an engine of known time, for `queue.py` to measure.

Owns its settings: one worker, batches of up to 32, taken as they are there. Needs `pip install litserve`.

    python -m benchmarks.litserve_server PORT BATCH_MS
"""

import sys
import time
from typing import Any

import litserve
from starlette.responses import Response

from benchmarks.contenders import MAX_BATCH, PICTURE

# Its smallest batch window that batches at all.
WINDOW_S = 0.001


class KnownEngine(litserve.LitAPI):  # type: ignore[misc]
    """Sleeps for a batch of any size, and answers a fixed picture."""

    def __init__(self, batch_ms: float) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=WINDOW_S)
        self.batch_ms = batch_ms

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: dict[str, Any]) -> int:
        """The seed."""
        return int(request["seed"])

    def predict(self, seeds: list[int]) -> list[int]:
        """One batch."""
        time.sleep(self.batch_ms / 1e3)
        return seeds

    def encode_response(self, _output: int) -> Response:
        """The picture."""
        return Response(PICTURE, media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(KnownEngine(float(sys.argv[2])), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="error", generate_client_file=False)
