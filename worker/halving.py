"""A batch that does not fit, in parts that do.

Owns the halving. Knows nothing of what is computed.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from model.memory import is_out_of_memory

Made = TypeVar("Made")


def in_halves(work: Callable[[Tensor], Made], index: Tensor) -> list[Made]:
    """What `work` makes of the rows at `index`, (N,): in one part, or in halves of halves where memory is short.

    Raises:
        Exception: What `work` raises of a single row, or for another reason than memory.
    """
    try:
        return [work(index)]
    except Exception as error:
        if len(index) < 2 or not is_out_of_memory(error):
            raise
    # Here the failed attempt's tensors are gone, as they are not while its error is being handled.
    torch.cuda.empty_cache()
    return [made for half in index.chunk(2) for made in in_halves(work, half)]
