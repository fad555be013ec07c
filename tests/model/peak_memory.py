"""What a piece of torch code holds at once.

Owns the counting of tensors' storages as they come and go, on every device alike. Knows no law.
"""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Counts the storages that operations make while it is entered.

    Attributes:
        peak_bytes: Most of them that lived at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given, made = (args, kwargs), func(*args, **(kwargs or {}))
        # What an operation was given was there before, unless it is known.
        before = {tensor.untyped_storage()._cdata for tensor in tree_leaves(given) if isinstance(tensor, torch.Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage(), before)
        return made

    def _note(self, storage: torch.UntypedStorage, before: set[int]) -> None:
        if storage._cdata in self._known or storage._cdata in before:
            return
        self._known.add(storage._cdata)
        self._bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self._bytes -= nbytes
