"""The command `card`: the facts of a checkpoint folder, and their page.

Owns its options, the names of the files beside the weights, and what is read off the logs of runs. Knows nothing
of how a page reads.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from model import load
from model.card import Card
from model.card_page import card_page
from model.checkpoint import find, load_card, load_config, save_card
from model.replacement import replacing
from training.curve import write_curve
from training.run_log import read_run_logs
from training.sample_sheet import write_sample_sheet

PAGE, CURVE, SHEET = "README.md", "curve.png", "sheet.png"
# Facts that the command line may give as they stand in the card.
TEXTS = ("trained_on", "data_licence", "command", "hardware", "intended_use")
# Facts that another card may lend; what was measured, timed or remarked is each one's own.
LENT = ("trained_on", "data_licence", "hardware", "intended_use", "limits")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.set_defaults(run=run_card)
    parser.add_argument("checkpoint", help="checkpoint folder or bundled name")
    parser.add_argument("--trained-on", help="name of the data")
    parser.add_argument("--data-licence", help="licence of the data")
    parser.add_argument("--command", help="the command that made the weights")
    parser.add_argument("--hardware", help="what it was trained on")
    parser.add_argument("--hours", type=float, help="of training; default: the sum over the logs of --run")
    parser.add_argument("--intended-use", help="what it was made for")
    parser.add_argument("--limit", action="append", help="what it must not be used for; may be given again")
    parser.add_argument("--note", action="append", help="what else a reader must know; may be given again")
    parser.add_argument("--like", help="checkpoint whose card gives the facts that are still missing")
    parser.add_argument("--run", type=Path, nargs="+", dest="runs", help="folders of the runs, in order, for the curve")
    parser.add_argument("--sheet", action="store_true", help="draw a new sheet of samples")


def run_card(parsed: argparse.Namespace, _given: list[str]) -> int:
    """Write the facts that were given, and the page of all of them; 0 = done.

    Raises:
        CheckpointError, ValueError, OSError: A checkpoint, fact or log that cannot be used.
    """
    folder = find(parsed.checkpoint)
    card = _changed(load_card(parsed.checkpoint), parsed)
    if parsed.runs:
        log = read_run_logs(parsed.runs)
        write_curve(log.records, folder / CURVE)
        card = replace(card, curve=CURVE, hours=round(log.hours, 2) if parsed.hours is None else parsed.hours)
    if parsed.sheet:
        write_sample_sheet(load(parsed.checkpoint), folder / SHEET, card.sampling)
        card = replace(card, sheet=SHEET)
    save_card(parsed.checkpoint, card)
    write_page(folder)
    print(folder / PAGE)
    return 0


def write_page(folder: Path) -> None:
    """Write the page of the checkpoint in `folder`, whole or not at all.

    Raises:
        CheckpointError: As `load_card`.
    """
    page = card_page(folder.resolve().name, load_config(folder), load_card(folder))
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")


def _changed(card: Card, parsed: argparse.Namespace) -> Card:
    """The card with what was given in place of what it said."""
    texts = {name: getattr(parsed, name) for name in TEXTS}
    lists = {"limits": parsed.limit and tuple(parsed.limit), "notes": parsed.note and tuple(parsed.note)}
    given = {name: value for name, value in (texts | lists | {"hours": parsed.hours}).items() if value is not None}
    changed = replace(card, **given)
    if not parsed.like:
        return changed
    other = load_card(parsed.like)
    return replace(changed, **{name: getattr(changed, name) or getattr(other, name) for name in LENT})
