"""What refreshes are worth: latest-small replayed in event time, with one every simulated week.

Kept with the other evaluations, where `freshet eval report` finds it for docs/evaluation.md.
"""

import argparse
import sys
from typing import Final

from benchmarks.report import Report, main
from infra.commands.data import load_dataset
from infra.settings import load_settings
from training.dataset import Ratings
from training.renewal import FIGURES, WAYS, Plan, Way, difference, evaluate
from training.runs import Runs
from training.split import TEST_SHARE
from training.tables import called

DATASET: Final = "latest-small"
MINUTES: Final = 40  # on one core, all of it
SIGNIFICANT: Final = 0.05

# Which is to beat which: renewed models those of the first moment, and fresh states old ones.
BEATS: Final[tuple[tuple[Way, Way], ...]] = (("refreshed", "first"), ("first", "frozen"))


def run(plan: Plan) -> Report:
    loaded = load_dataset(DATASET, None, None, False)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)

    def show(done: int, of: int) -> None:
        print(f"\r{done} of {of} periods", end="" if done < of else "\n", file=sys.stderr)

    runs = Runs(load_settings().evaluations)
    result = evaluate(ratings, loaded.source.name, plan, runs, show)
    report = Report("Refreshes", f"python -m benchmarks.refresh{_options(plan)}")
    figures = result.figures
    what = f"the last {plan.share:.0%} of {DATASET}, a refresh every {plan.days} days"
    report.context(f"{what}: refreshes", figures["refreshes"], "")
    report.context("... questions", figures["lists"], "")
    report.context("... people that they are of", figures["users"], "")
    for name in FIGURES:
        for way in WAYS:
            report.context(f"{called(name)}, {way}", figures[f"{way}/{name}"], "")
    for name in FIGURES:
        for way, base in BEATS:
            found = difference(result, way, base, name)
            gained = f"{called(name)}, {way} less {base}: low end of its 95% interval"
            report.at_least(gained, found.absolute.low, "", 0)
            # With few people the bootstrap is too sure of itself; the test allows for that.
            report.at_most("... p of the difference", found.p_value, "", SIGNIFICANT)
    report.context("the first model", figures["first_seconds"], "s")
    report.context("a refresh", figures["refresh_seconds"], "s")
    report.at_most("all of it", figures["seconds"] / 60, "min", MINUTES)
    report.notes.append("Over time, with intervals: [evaluation.md](evaluation.md).")
    return report


def _options(plan: Plan) -> str:
    given = {"share": plan.share, "epochs": plan.epochs}
    default = {"share": Plan().share, "epochs": Plan().epochs}
    return "".join(f" --{name} {value}" for name, value in given.items() if value != default[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=TEST_SHARE, help="of the ratings, replayed")
    parser.add_argument("--epochs", type=int, default=Plan().epochs, help="of a refresh")
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest  # the file of the report
    main(lambda: run(Plan(share=given.share, epochs=given.epochs)))
