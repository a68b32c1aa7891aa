"""LitServe with `transformers.pipeline`, with its batching: python litserve_pipeline.py PORT."""

import base64
import sys
from io import BytesIO
from typing import Any

import litserve
from peer_pipeline import create_pipeline
from PIL import Image


class ClassifierApi(litserve.LitAPI):  # type: ignore[misc]
    """Images of requests, classified in batches."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.classify = create_pipeline()

    def decode_request(self, request: dict[str, str]) -> Any:
        """Decode the image, which LitServe takes as JSON with base64."""
        return Image.open(BytesIO(base64.b64decode(request["image"]))).convert("RGB")

    def predict(self, images: list[Any]) -> list[Any]:
        """Classify a batch."""
        return list(self.classify(images, batch_size=len(images)))

    def encode_response(self, output: Any) -> Any:
        """The labels."""
        return output


if __name__ == "__main__":
    api = ClassifierApi(max_batch_size=16, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu").run(port=int(sys.argv[1]), log_level="error", generate_client_file=False)
