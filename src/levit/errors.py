"""The exception tree.

Everything that `levit` raises on purpose is a `LevitError` whose message is one line that names the thing
and the way out::

    LevitError
    ├── ConfigError      (also a ValueError)   a configuration that describes no network
    ├── CheckpointError                        weights that cannot be read, or do not fit their configuration
    ├── DataError                              labelled images that cannot be used
    ├── ImageError                             one image that cannot be decoded or is refused
    ├── ExportError                            an artifact that could not be written or did not verify
    └── EngineError                            an inference engine that is missing or failed

What is done, but not quite as one would expect, is a `LevitWarning` of one line.
"""


class LevitError(Exception):
    """Base class of every error that levit raises on purpose."""


class ConfigError(LevitError, ValueError):
    """A configuration describes no network; the message names the field."""


class CheckpointError(LevitError):
    """A checkpoint cannot be read, or its weights do not fit its configuration."""


class DataError(LevitError):
    """Labelled images cannot be used as they are."""


class ImageError(LevitError):
    """One image cannot be decoded, or is refused; the message starts with its name."""


class ExportError(LevitError):
    """An artifact could not be written, or computes something other than its checkpoint."""


class EngineError(LevitError):
    """An inference engine is missing, or could not open or run a model."""


class LevitWarning(UserWarning):
    """Something is done, but with a change or a loss that the message names."""
