"""The best weights seen in training, each copy a file of its own until a checkpoint no longer needs it.

A killed run goes on from its last checkpoint, whose evaluations may not know of a better copy that was written after
it; and training that is done again on a GPU need not come to the same scores. So a copy is named by its step and never
overwritten by another's: there are two at most, the one that the last complete checkpoint knows of and the present
best. A copy holds the weights that are trained: adapters alone, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.store.files import replacing

_NAME = "best-{step}.safetensors"


class BestCopies:
    """Copies of weights in `folder`, a step each. Step 0 is the base itself, of which no copy is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        """Where the weights after `step` steps are."""
        return self.folder / _NAME.format(step=step)

    def save(self, step: int, weights: Mapping[str, Any]) -> None:
        """Write the weights after `step` steps, whole or not at all."""
        from safetensors.torch import save_file

        with replacing(self.path(step)) as temporary:
            save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, temporary)

    def load(self, step: int) -> dict[str, Any]:
        """The weights after `step` steps.

        Raises:
            TeachableError: the copy is gone.
        """
        from safetensors.torch import load_file

        path = self.path(step)
        if not path.is_file():
            raise TeachableError(
                f"the copy of the best weights, of step {step}, is missing",
                where=str(path),
                mend=f"Remove {self.folder} and run the same command again: training starts anew",
            )
        return dict(load_file(path))

    def keep_only(self, *steps: int) -> None:
        """Remove all copies but those of `steps`."""
        kept = {self.path(step) for step in steps}
        for path in self.folder.glob(_NAME.format(step="*")):
            if path not in kept:
                path.unlink()
