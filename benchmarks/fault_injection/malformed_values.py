"""Changes of one value in a data file that leave its format valid."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import scipy.io

from fault_injection.data_layouts import parquet_columns, write_parquet
from fault_injection.mutation import mutate

_DEEP = "[" * 3000 + "]" * 3000  # text of nested lists
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2, 2**31, 2**63, 10**400, 0.7, float("nan"), float("inf"), "", " ", "nan", "None", "0.0", "-1",
    "1" * 5000, "a\0b", "../../etc/passwd", "/dev/zero", "/etc/passwd", "a\\b.png", "e\u0301", "\x1b[2J", "\ufeffcat",
    "x" * 70_000, [], [None], [[0]], ["cat", 1], {}, {"bytes": None}, {"path": 3}, {"a": {"b": [1]}},
)  # fmt: skip
_TEXTS = (
    *[str(value) for value in _VALUES if not isinstance(value, list | dict)],
    _DEEP,
    '"',
    "cat dog",
    "1_0",
    "²",
    "٣",
)
_TAR_FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))  # offset, length
_TAR_VALUES = (
    b"",
    b"\xff" * 12,
    b"\x80" + b"\xff" * 11,
    b"7" * 12,
    b"-1",
    b"../x.png",
    b"._1.png",
    b".png",
    b"S",
    b"x",
)
_TAR_BLOCK = 512


def change_value(file: Path, generator: np.random.Generator) -> None:
    """Change one value of a file; the bytes of a file whose format has no values are changed at random."""
    if file.suffix in (".json", ".jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines()
        index = int(generator.integers(len(lines)))
        lines[index] = _changed_json(lines[index], generator)
        file.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    elif file.suffix in (".txt", ".csv"):
        file.write_text(_changed_text(file.read_text(encoding="utf-8"), generator), encoding="utf-8")
    elif file.suffix == ".parquet":
        _change_parquet(file, generator)
    elif file.suffix == ".tar":
        _change_tar(file, generator)
    elif file.suffix == ".mat":
        _change_matlab(file, generator)
    elif file.suffix == "" and "batch" in file.name:
        values = pickle.loads(file.read_bytes())  # noqa: S301  # written by data_layouts.py
        file.write_bytes(pickle.dumps(_changed(values, generator), protocol=2))
    else:
        file.write_bytes(mutate(file.read_bytes(), generator))


def _pick(generator: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return copy.deepcopy(values[int(generator.integers(len(values)))])


def _changed(value: Any, generator: np.random.Generator) -> Any:
    """Replace a random part of nested lists and dictionaries."""
    is_container = isinstance(value, dict | list) and len(value) > 0
    if not is_container or generator.random() < 0.1:
        return _pick(generator, _VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(generator.integers(len(keys)))]
    if generator.random() < 0.1:
        del value[key]
    else:
        value[key] = _changed(value[key], generator)
    return value


def _changed_json(line: str, generator: np.random.Generator) -> str:
    text = json.dumps(_changed(json.loads(line), generator))
    return text.replace("true", _DEEP) if generator.random() < 0.05 else text


def _changed_text(text: str, generator: np.random.Generator) -> str:
    words = list(re.finditer(r"[^\s,]+", text))
    word = words[int(generator.integers(len(words)))]
    return text[: word.start()] + str(_pick(generator, _TEXTS)) + text[word.end() :]


def _change_parquet(file: Path, generator: np.random.Generator) -> None:
    """Write the file again with columns or class names of other types."""
    images, labels = parquet_columns()
    is_list = generator.random() < 0.3
    names: Any = _pick(generator, _VALUES) if generator.random() < 0.3 else ["cat", "dog"]
    features: Any = {"_type": "ClassLabel", "names": names}
    features = _pick(generator, ([features], {"feature": features}, features, features, _VALUES[5], "label"))
    value = _pick(generator, _VALUES)
    columns = {
        "label": [[value]] * 4 if is_list else [value, *labels[1:]],
        "image": [value] * 4 if generator.random() < 0.3 else images,
    }
    if generator.random() < 0.5:
        columns["label"] = [value] * 4
    original = file.read_bytes()
    try:
        write_parquet(file, columns["image"], columns["label"], _pick(generator, ("label", "labels")), features)
    except (ValueError, TypeError, OverflowError, pyarrow.ArrowException):  # pyarrow has no type for these values
        file.write_bytes(mutate(original, generator))


def _change_tar(file: Path, generator: np.random.Generator) -> None:
    """Change a field of a header and correct its checksum, or the content of a label."""
    content = bytearray(file.read_bytes())
    if generator.random() < 0.5:
        file.write_bytes(_tar_with_label(_pick(generator, _VALUES)))
        return
    headers = [start for start in range(0, len(content), _TAR_BLOCK) if content[start + 257 : start + 262] == b"ustar"]
    start = headers[int(generator.integers(len(headers)))]
    offset, length = _TAR_FIELDS[int(generator.integers(len(_TAR_FIELDS)))]
    value = _TAR_VALUES[int(generator.integers(len(_TAR_VALUES)))][:length]
    content[start + offset : start + offset + length] = value.ljust(length, b"\0")
    header = content[start : start + _TAR_BLOCK]
    header[148:156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    file.write_bytes(content)


def _tar_with_label(value: Any) -> bytes:
    image = parquet_columns()[0][0]["bytes"]
    text = value if isinstance(value, str) else json.dumps(value)
    labels = {"0001.json": json.dumps({"label": value}), "0002.cls": text, "0003.json": text}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, label in labels.items():
            for member_name, content in ((f"{name[:4]}.png", image), (name, label.encode())):
                member = tarfile.TarInfo(member_name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _change_matlab(file: Path, generator: np.random.Generator) -> None:
    values = {name: value for name, value in scipy.io.loadmat(file).items() if not name.startswith("__")}
    name = list(values)[int(generator.integers(len(values)))]
    replacements = (
        np.array([]), np.array([0]), np.array([-5, 2**40]), np.array([1.5, np.nan]), np.array(["cat"]),
        np.zeros((2, 2)), np.array([1j]), np.array([None, "x"], object),
        np.array([("a\0b", 9.5)], [("fname", object), ("class", object)]),
        np.array([(9999, "n0")], [("ILSVRC2012_ID", object), ("WNID", object)]),
    )  # fmt: skip
    if generator.random() < 0.2:
        values[f"{name}_"] = values.pop(name)
    else:
        values[name] = replacements[int(generator.integers(len(replacements)))]
    try:
        scipy.io.savemat(file, values)
    except (ValueError, TypeError):  # the format has no such value
        file.write_bytes(mutate(file.read_bytes(), generator))
