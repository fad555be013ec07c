"""A checkpoint's card as a page for people, in Markdown.

Owns the order and the words; every fact comes from the card and the architecture. Knows nothing of files.
"""

from collections.abc import Iterable

from model.card import Card
from model.config import TarFlowConfig

NOT_RECORDED = "not recorded"
MOST_NAMES = 20


def card_page(name: str, config: TarFlowConfig, card: Card) -> str:
    """The page of the checkpoint called `name`; the same facts give the same page."""
    sections = (
        f"# {name}",
        f"<!-- Made from config.json by `tarflow card {name}`: change the facts there, not here. -->",
        f"**Intended use.** {card.intended_use or NOT_RECORDED}",
        f"![Samples, one class a row](./{card.sheet})" if card.sheet else "",
        _table(("fact", "value"), _facts(config, card)),
        "## Training",
        _commands([card.command]) if card.command else f"The command was {NOT_RECORDED}.",
        f"![Training curve](./{card.curve})" if card.curve else f"The training curve was {NOT_RECORDED}.",
        _list(card.notes),
        "## Figures",
        _figures(card),
        "## What it must not be used for",
        _list(card.limits) or f"{NOT_RECORDED.capitalize()}.",
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(config: TarFlowConfig, card: Card) -> list[tuple[str, str]]:
    colours = {1: "grey", 3: "RGB"}.get(config.in_channels, f"{config.in_channels} channels")
    shape = f"[{config.patch_size}-{config.channels}-{config.blocks}-{config.layers_per_block}]"
    sampling = [f"guidance {card.sampling.guidance:g}", "denoised" if card.sampling.denoise else "not denoised"]
    return [
        ("images", f"{config.image_size} x {config.image_size}, {colours}"),
        ("architecture", f"TarFlow {shape}: patch, channels, blocks, layers in a block"),
        ("classes", _classes(config, card)),
        ("density", config.density),
        ("sampled by default", ", ".join(sampling)),
        ("trained on", card.trained_on or NOT_RECORDED),
        ("licence of the data", card.data_licence or NOT_RECORDED),
        ("hardware", card.hardware or NOT_RECORDED),
        ("hours of training", _hours(card)),
        ("SHA-256 of the weights", f"`{card.digest}`" if card.digest else NOT_RECORDED),
    ]


def _hours(card: Card) -> str:
    if card.hours is None:
        return NOT_RECORDED
    return f"{card.hours:.1f}{'; see the notes under Training' if card.notes else ''}"


def _classes(config: TarFlowConfig, card: Card) -> str:
    if not config.num_classes:
        return "none"
    names = card.class_names
    if not names:
        return f"{config.num_classes}, without names"
    listed = ", ".join(names) if len(names) <= MOST_NAMES else f"{names[0]} to {names[-1]}"
    return f"{len(names)}: {listed}"


def _figures(card: Card) -> str:
    if not card.metrics:
        return "None were recorded."
    rows = [(name.replace("_", " "), f"{value:.6g}") for name, value in card.metrics.items()]
    commands = list(dict.fromkeys(card.measured_by[name] for name in card.metrics if name in card.measured_by))
    unknown = [name.replace("_", " ") for name in card.metrics if name not in card.measured_by]
    missing = f"The command behind {', '.join(unknown)} was {NOT_RECORDED}." if unknown else ""
    parts = (_table(("figure", "value"), rows), _commands(commands) if commands else "", missing)
    return "\n\n".join(part for part in parts if part)


def _commands(commands: Iterable[str]) -> str:
    lines = "\n".join(command.replace(" && ", " &&\n") for command in commands)
    return f"```sh\n{lines}\n```"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    cells = [head, ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right.replace('|', '/')} |" for left, right in cells)
