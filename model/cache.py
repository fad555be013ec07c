"""Keys and values of the patches already seen, while a flow block is inverted patch by patch.

Owns the storage, allocated once for a whole sampling run. Knows nothing of attention.
"""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from model.config import TarFlowConfig


@dataclass(frozen=True)
class KeyValueCache:
    """Preallocated keys and values, each (layers, rows, heads, patches - 1, head_dim).

    The last patch of a block conditions nothing, so it has no place here. One cache
    serves every block in turn: a block overwrites what the one before it left.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def allocate(cls, config: TarFlowConfig, rows: int, like: Tensor) -> Self:
        """Room for `rows` sequences, on the device and in the dtype of `like`."""
        shape = (config.layers_per_block, rows, config.heads, config.patches - 1, config.head_dim)
        return cls(like.new_empty(shape), like.new_empty(shape))

    def extend(self, layer: int, position: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the keys and values of L patches from `position`, each (rows, heads, L, head_dim); all up to them."""
        end = position + key.shape[2]
        self.keys[layer, :, :, position:end] = key
        self.values[layer, :, :, position:end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
