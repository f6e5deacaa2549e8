"""What diversification costs and gives, from results alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from training.plots import draw_trade_offs
from training.runs import Result
from training.tables import markdown
from training.trade_off import COLUMNS, SERVED, TITLES, rows


class TradeOffs(NamedTuple):
    """What came of `trade_off.evaluate`.

    Attributes:
        command: that measures it.
        results: those there are, which may be none.
    """

    command: str
    results: Sequence[Result]


def trade_offs(found: TradeOffs, picture: Path) -> Iterator[str]:
    """The section.

    Args:
        found: what was measured.
        picture: to write to.
    """
    yield "### What diversification costs and gives"
    yield f"`{found.command}`"
    if not found.results:
        yield "**Not measured.**"
        return
    chosen = found.results[0].question.settings["hyperparameters"][SERVED]
    yield (
        "Each place of the list goes to the movie that is best by its utility and by how little "
        f"it has in common with those before it, weighed by a trade-off, by default {chosen}. On "
        "validation parts, all trade-offs of the same fit; changes are relative to the order by "
        "utility alone."
    )
    titled = {TITLES[result.question.settings["asked"]]: result for result in found.results}
    draw_trade_offs(titled, chosen, picture)
    yield f"![How figures change with the trade-off]({picture.parent.name}/{picture.name})"
    for title, result in titled.items():
        yield f"Asked for {title}, {result.figures['lists']:,.0f} lists:"
        yield markdown(COLUMNS, rows(result))
