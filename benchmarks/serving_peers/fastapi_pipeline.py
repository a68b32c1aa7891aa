"""`transformers.pipeline` behind FastAPI, in as many threads as cores: python fastapi_pipeline.py PORT.

By default FastAPI has 40 threads, each of which would compute with all cores.
"""

import sys
from io import BytesIO
from typing import Any

import torch
import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from peer_pipeline import create_pipeline
from PIL import Image

from levit.runtime.cpu_count import usable_cores

torch.set_num_threads(1)
classify = create_pipeline()
threads = CapacityLimiter(usable_cores())
app = FastAPI()


@app.get("/healthz")
def healthy() -> str:
    """Respond when the model is loaded."""
    return "ok"


@app.post("/predict")
async def predict(request: Request) -> list[dict[str, Any]]:
    """Classify the image in the body."""
    content = await request.body()
    result: list[dict[str, Any]] = await to_thread.run_sync(
        lambda: classify(Image.open(BytesIO(content)).convert("RGB")), limiter=threads
    )
    return result


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
