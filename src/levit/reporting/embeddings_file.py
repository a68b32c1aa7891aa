"""Files of pooled features: parquet, or the `.npz` of numpy, which needs no other package."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError, DataError, first_line
from levit.files import check_regular_file, write_bytes
from levit.reporting.metrics_json import escape_surrogates
from levit.spec.choices import Precision, PreprocessingMode

_PARQUET, _NUMPY = ".parquet", ".npz"
_METADATA_KEY = "levit"


@dataclass(frozen=True)
class Embeddings:
    """Pooled features of images, with the model that computed them.

    Attributes:
        files: names of the images.
        features: float32 [N, C].
        model: name of the model.
        sha256: hash of its weights, or None for a model without one.
        engine: inference engine that computed the features.
        precision: precision of the arithmetic.
        preprocessing: "fast" or "exact".
        folder: absolute folder to which relative names of images refer.
    """

    files: list[str] = field(repr=False)
    features: NDArray[np.float32] = field(repr=False)
    model: str
    sha256: str | None = None
    engine: str = "auto"
    precision: Precision = "auto"
    preprocessing: PreprocessingMode = "fast"
    folder: Path = field(default_factory=Path.cwd)

    def path(self, name: str) -> Path:
        """File of an image, without symbolic links."""
        return (self.folder / name).resolve()


def check_suffix(file: Path) -> None:
    """Refuse a file of another type than those of embeddings, or in a folder that does not exist.

    Raises:
        ConfigError: the suffix is not .parquet or .npz.
        DataError: there is no such folder.
        ImportError: pyarrow, which parquet needs, is not installed.
    """
    if file.suffix.lower() not in (_PARQUET, _NUMPY):
        raise ConfigError("of an unknown type", source=str(file), hint="give a name that ends in .parquet or .npz")
    if not file.absolute().parent.is_dir():
        raise DataError("no such folder", source=file.parent)
    if file.suffix.lower() == _PARQUET:
        _pyarrow()


def write_embeddings(embeddings: Embeddings, file: Path) -> None:
    """Create or replace a file of embeddings.

    A parquet file has the columns `file` (string) and `features` (a list of C float32 each); a `.npz` file the arrays
    `files` and `features`. Both have the model as JSON: parquet in its metadata under "levit", `.npz` as `model`. The
    folder of the images is written relative to that of the file, so that both can be moved together.

    Raises:
        ConfigError, DataError, ImportError: as for `check_suffix`.
        OSError: the file system refuses.

    Examples:
        >>> import tempfile
        >>> embeddings = Embeddings(["cat.jpg"], np.float32([[1, 2]]), "LeViT-128S")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_embeddings(embeddings, Path(folder, "embeddings.npz"))
        ...     read_embeddings(Path(folder, "embeddings.npz")).features.tolist()
        [[1.0, 2.0]]
    """
    check_suffix(file)
    names = [escape_surrogates(name) for name in embeddings.files]
    model = json.dumps(_description(embeddings, file))
    stream = io.BytesIO()
    if file.suffix.lower() == _NUMPY:
        np.savez(stream, files=np.array(names, np.str_), features=embeddings.features, model=np.array(model))
    else:
        arrow = _pyarrow()
        width = embeddings.features.shape[1]
        values = arrow.FixedSizeListArray.from_arrays(embeddings.features.reshape(-1), width)
        table = arrow.table({"file": arrow.array(names, arrow.string()), "features": values})
        arrow.parquet.write_table(table.replace_schema_metadata({_METADATA_KEY: model}), stream)
    write_bytes(file, stream.getvalue())


def read_embeddings(file: Path) -> Embeddings:
    """Read a file that `write_embeddings` wrote.

    Raises:
        DataError: the file does not exist, is damaged, or is not a file of embeddings.
        ImportError: pyarrow, which parquet needs, is not installed.
    """
    hint = "write it with `levit embed`"
    if not file.exists():
        raise DataError("no such file", source=file, hint=hint)
    check_regular_file(file, DataError)
    arrow = _pyarrow() if file.suffix.lower() == _PARQUET else None
    try:
        files, features, model = _read_numpy(file) if arrow is None else _read_parquet(file, arrow)
        values = json.loads(model)
        embeddings = _described(files, features, values, file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        is_archive = arrow is not None or zipfile.is_zipfile(file)  # numpy reports other files as pickles
        reason = f"no file of embeddings{f' ({first_line(error)})' if is_archive else ''}"
        raise DataError(reason, source=file, hint=hint) from error
    if features.ndim != 2 or len(features) != len(files) or features.dtype != np.float32:
        raise DataError(f"no file of embeddings (features are {list(features.shape)})", source=file, hint=hint)
    return embeddings


def _description(embeddings: Embeddings, file: Path) -> dict[str, str | None]:
    """The model, how it computed the features, and the folder of the images."""
    folder = embeddings.folder.resolve()
    try:
        relative = os.path.relpath(folder, file.resolve().parent)
    except ValueError:  # another drive of Windows
        relative = str(folder)
    return {
        "model": embeddings.model,
        "sha256": embeddings.sha256,
        "engine": embeddings.engine,
        "precision": embeddings.precision,
        "preprocessing": embeddings.preprocessing,
        "folder": relative.replace(os.sep, "/"),
    }


def _described(files: list[str], features: NDArray[Any], values: dict[str, Any], file: Path) -> Embeddings:
    """Embeddings with the values of `_description`."""
    folder = (file.resolve().parent / values["folder"]).resolve()
    computed = {name: values[name] for name in ("sha256", "engine", "precision", "preprocessing")}
    return Embeddings(files, features, str(values["model"]), **computed, folder=folder)


def _read_numpy(file: Path) -> tuple[list[str], NDArray[Any], str]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return [str(name) for name in arrays["files"].tolist()], arrays["features"], str(arrays["model"])


def _read_parquet(file: Path, arrow: Any) -> tuple[list[str], NDArray[Any], str]:
    table = arrow.parquet.read_table(file)
    values = table.column("features").combine_chunks()
    features = values.flatten().to_numpy(zero_copy_only=False).reshape(len(table), values.type.list_size)
    return table.column("file").to_pylist(), features, table.schema.metadata[_METADATA_KEY.encode()].decode()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('parquet files need pyarrow: pip install "levit[evaluation]", or use .npz') from error
    return pyarrow
