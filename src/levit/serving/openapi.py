"""What /docs and /openapi.json say about the bodies and responses of the routes."""

from __future__ import annotations

from typing import Any

from levit.serving.security import is_protected

_LABELS = [
    {"name": "tabby", "index": 281, "score": 0.71},
    {"name": "tiger cat", "index": 282, "score": 0.18},
]
_PREDICTION = {"file": "cat.jpg", "labels": _LABELS, "error": None}
_BAD = {"file": "notes.txt", "labels": [], "error": "notes.txt: not an image of a supported format"}

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

_BINARY = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_TOP_K = {"type": ["integer", "null"], "minimum": 1}

PREDICTION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "minItems": 1, "items": _BINARY}},
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

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header with the length of the JSON, of a body with binary data behind it."""

_HEADER_LENGTH = {"description": "Length of the JSON in bytes.", "schema": {"type": "integer"}}
_BINARY_DATA = "The JSON, and behind it the data of the tensors that have the parameter binary_data_size."
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {
            "type": ["object", "null"],
            "properties": {"binary_data_size": {"type": "integer", "description": "In place of data: its bytes."}},
        },
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
                "properties": {"name": {"enum": ["logits", "scores"]}, "parameters": {"type": ["object", "null"]}},
            },
        },
        "parameters": {"type": ["object", "null"]},
    },
}
_INFERENCE_EXAMPLE = {
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_IMAGE]}],
    "outputs": [{"name": "scores", "parameters": {"classification": 1}}],
}
_OUTPUT = {"name": "scores", "datatype": "BYTES", "shape": [1, 1], "data": ["0.710000:281:tabby"]}

INFERENCE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _INFERENCE_SCHEMA, "example": _INFERENCE_EXAMPLE},
            "application/octet-stream": {"schema": _BINARY | {"description": _BINARY_DATA}},
        },
    },
    "parameters": [{"name": HEADER_LENGTH, "in": "header", "required": False} | _HEADER_LENGTH],
}
"""The body of a request of the Open Inference Protocol."""

INFERENCE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs.",
        "headers": {HEADER_LENGTH: _HEADER_LENGTH},
        "content": {
            "application/octet-stream": {"schema": _BINARY | {"description": _BINARY_DATA}},
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
            },
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
    403: "The request comes from a page of another origin.",
    404: "There is no such model.",
    408: "The body was not complete in time.",
    413: "The body or the number of images is above the limit.",
    415: "The type of the body is not supported, or the body is compressed.",
    422: "A parameter or a field is invalid.",
    429: "The queue is full; Retry-After gives the seconds to wait.",
    431: "The head of the request is larger than 64 kB.",
    503: "The service is loading its models, or ending.",
    504: "There was no result within the timeout.",
}

_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route with errors, by their status; those of every route are added later."""
    return {status: {"description": _REASONS[status], "content": _ERROR_CONTENT} for status in statuses}


POST_ERRORS = errors(400, 403, 404, 408, 413, 415, 422, 429, 503, 504)
"""The responses with errors of a request with images."""


def complete_description(schema: dict[str, Any], *, has_keys: bool) -> None:
    """Complete the description of the routes that FastAPI makes: API keys, and the errors of every route.

    Args:
        schema: the description, in the form of OpenAPI.
        has_keys: whether the service has API keys.
    """
    # FastAPI's own form of errors, which no route uses.
    schema["components"] = {"securitySchemes": _SECURITY_SCHEMES}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            responses, common = operation["responses"], [431]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            if is_protected(path):
                common.append(401)
                operation["security"] = [*([] if has_keys else [{}]), *({name: []} for name in _SECURITY_SCHEMES)]
            responses |= {str(status): response for status, response in errors(*common).items()}
