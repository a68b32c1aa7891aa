"""What /docs and /openapi.json say about the bodies and responses of the routes."""

from __future__ import annotations

from typing import Any

_LABELS = [
    {"name": "tabby", "index": 281, "score": 0.71},
    {"name": "tiger cat", "index": 282, "score": 0.18},
]
_PREDICTION = {"file": "cat.jpg", "labels": _LABELS, "error": None}
_BAD = {"file": "notes.txt", "labels": [], "error": "notes.txt: not an image, or of a format that Pillow cannot read"}

_LABEL_SCHEMA = {
    "type": "object",
    "required": ["name", "index", "score"],
    "properties": {
        "name": {"type": "string", "description": 'Name of the class; "unknown" where the model rejects the image.'},
        "index": {"type": "integer", "description": 'Index of the class; -1 for "unknown".'},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_PREDICTION_SCHEMA = {
    "type": "object",
    "required": ["file", "labels", "error"],
    "properties": {
        "file": {"type": "string"},
        "labels": {"type": "array", "items": _LABEL_SCHEMA},
        "error": {"type": ["string", "null"]},
    },
}
_LIST_SCHEMA = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array", "items": _PREDICTION_SCHEMA}},
}
# An image of one color, so that the examples can be sent as they are.
_IMAGE = "R0lGODdhCAAIAIEAAMg8KAAAAAAAAAAAACwAAAAACAAIAAAIDwABCBxIsKDBgwgTKkwYEAA7"

_BASE64 = {"type": "string", "contentEncoding": "base64"}
_TOP_K = {"type": ["integer", "null"], "minimum": 1}

PREDICTION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["image"],
                            "properties": {"image": _BASE64, "top_k": _TOP_K},
                        },
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["images"],
                            "properties": {
                                "images": {"type": "array", "minItems": 1, "items": _BASE64},
                                "top_k": _TOP_K,
                            },
                        },
                    ]
                },
                "example": {"images": [_IMAGE], "top_k": 2},
            },
        },
    }
}
"""The body of a prediction request."""

PREDICTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The labels of the image, or of each image.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [_PREDICTION_SCHEMA, _LIST_SCHEMA]},
                "examples": {
                    "one": {"summary": "One image", "value": _PREDICTION},
                    "several": {"summary": "Several images", "value": {"predictions": [_PREDICTION, _BAD]}},
                },
            }
        },
    }
}
"""The response with predictions."""

_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
_INFERENCE_SCHEMA = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": ["string", "null"]},
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR},
        "outputs": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"enum": ["logits", "scores"]}, "parameters": {"type": "object"}},
            },
        },
        "parameters": {"type": "object"},
    },
}
_INFERENCE_EXAMPLE = {
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_IMAGE]}],
    "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
}
_OUTPUT = {"name": "scores", "datatype": "BYTES", "shape": [1, 2], "data": ["0.71:281:tabby", "0.18:282:tiger cat"]}

INFERENCE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _INFERENCE_SCHEMA, "example": _INFERENCE_EXAMPLE}},
    }
}
"""The body of a request of the Open Inference Protocol."""

INFERENCE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model_name", "outputs"],
                    "properties": {
                        "model_name": {"type": "string"},
                        "model_version": {"type": "string"},
                        "id": {"type": "string"},
                        "outputs": {"type": "array", "items": _TENSOR},
                    },
                },
                "example": {"model_name": "default", "model_version": "1", "outputs": [_OUTPUT]},
            }
        },
    }
}
"""The response of the Open Inference Protocol."""

_ERROR_CONTENT = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}
_REASONS = {
    400: "Not an image, or a damaged body.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    408: "The body was not complete in time.",
    413: "The body or the number of images is above the limit.",
    415: "The type of the body is not supported.",
    422: "A parameter or a field is invalid.",
    429: "The queue is full; Retry-After gives the seconds to wait.",
    503: "The service is loading its models, or ending.",
    504: "There was no result within the timeout.",
}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": reason, "content": _ERROR_CONTENT} for status, reason in _REASONS.items()
}
"""The responses with errors."""
