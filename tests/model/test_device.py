"""Owns the laws of devices: what a process turns off is off."""

from collections.abc import Iterator

import pytest
import torch

from model.device import avoid_cudnn_attention


@pytest.fixture
def cudnn_attention() -> Iterator[None]:
    """On, and afterwards as it was."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.usefixtures("cudnn_attention")
def test_attention_that_is_avoided_is_off_and_no_other() -> None:
    flash, efficient = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()
    avoid_cudnn_attention()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert (flash, efficient) == (
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
    )
