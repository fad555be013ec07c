"""The log of a run, told to TensorBoard or Weights & Biases as well.

Owns the two of them, which are imported where an option asks for them alone. Knows nothing
of how a step is made.
"""

import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from training.options import TrainOptions


class Trackers:
    """Those that the options ask for, until the context ends.

    Raises:
        ValueError: One is not installed; the message says what to install.
    """

    def __init__(self, options: TrainOptions, step: int, enabled: bool = True) -> None:
        self._tensorboard = _tensorboard(options, step) if enabled and options.tensorboard else None
        self._wandb = _wandb(options, step) if enabled and options.wandb else None

    def log(self, records: Iterable[dict[str, Any]]) -> None:
        """Tell each figure of the records under its name, by step; figures that are none are left out."""
        for record in records:
            figures = {name: value for name, value in record.items() if name != "step" and value is not None}
            if self._tensorboard is not None:
                for name, value in figures.items():
                    self._tensorboard.add_scalar(name, value, record["step"])
            if self._wandb is not None:
                self._wandb.log(figures, step=record["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if error is None else 1)


def check_trackers(options: TrainOptions) -> None:
    """Raise ValueError unless what the options ask for is installed."""
    if options.tensorboard:
        _summary_writer()
    if options.wandb:
        _wandb_module()


def _tensorboard(options: TrainOptions, step: int) -> Any:
    # Steps that were made but never saved are made again: their figures are taken back.
    return _summary_writer()(options.out / "tensorboard", purge_step=step + 1 if step else None)


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--tensorboard needs TensorBoard: pip install tensorboard") from error
    return SummaryWriter


def _wandb(options: TrainOptions, step: int) -> Any:
    # The run's name there is kept in its folder, so that a resumed run goes on in the same curve.
    id_file = options.out / "wandb-id"
    if not step or not id_file.exists():
        id_file.write_text(secrets.token_hex(4))
    return _wandb_module().init(
        project=options.wandb,
        id=id_file.read_text(),
        name=options.out.resolve().name,
        resume="allow",
        dir=options.out,
        config=options.to_json(),
    )


def _wandb_module() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ValueError("--wandb needs Weights & Biases: pip install wandb") from error
    return wandb
