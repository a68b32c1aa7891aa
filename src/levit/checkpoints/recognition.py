"""Recognition of checkpoints in memory, without the import of what describes them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from levit.checkpoints.checkpoint import Checkpoint


def is_checkpoint(model: object) -> TypeIs[Checkpoint]:
    """Return whether an object is a `Checkpoint`; before its module is imported, there is none.

    Examples:
        >>> is_checkpoint("levit-128s")
        False
    """
    module = sys.modules.get("levit.checkpoints.checkpoint")
    return isinstance(model, getattr(module, "Checkpoint", ()))
