"""`transformers.pipeline` behind FastAPI, as it is usually written: python fastapi_pipeline.py PORT."""

import sys
from io import BytesIO
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from peer_pipeline import create_pipeline
from PIL import Image

classify = create_pipeline()
app = FastAPI()


@app.get("/healthz")
def healthy() -> str:
    """Respond when the model is loaded."""
    return "ok"


@app.post("/predict")
async def predict(request: Request) -> list[dict[str, Any]]:
    """Classify the image in the body."""
    from fastapi.concurrency import run_in_threadpool

    content = await request.body()
    result: list[dict[str, Any]] = await run_in_threadpool(
        lambda: classify(Image.open(BytesIO(content)).convert("RGB"))
    )
    return result


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
