"""What the gate asks of a challenger, in figures that an operator may set."""

from dataclasses import dataclass
from typing import Annotated, Final, get_type_hints

from msgspec import Meta

from training.flat import checked
from training.metrics import parse

# Ratings below which somebody is new: as many as the onboarding asks for at least.
FEW: Final = 5

# Percentile of how long lists take. The 99th of a thousand is ten lists, and what else ran then.
SLOW: Final = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """What a challenger must show. Raises ConfigurationError for what no policy can ask.

    Attributes:
        metric: what better means, of lists where one movie is right. NDCG rather than hit rate: it
            sees a movie move within the list, and so needs fewer lists to tell two models apart.
        min_gain: by how much of the champion's mean the challenger's must be above it. 0: what is
            better at all, with confidence, is worth a switch that nobody notices. Negative: what
            may be lost, where a fresher model is worth it.
        confidence: that the gain is there; see the module.
        min_lists: fewer show nothing: with 1,000, NDCG@10 of 0.1 is known to a tenth of itself.
        min_users: people that they are of. They are what the bootstrap draws, and few are not all:
            simulated with lists in very unequal numbers, equal challengers pass at 0.95 in 5% of
            the gates of 300 people, 6 to 8% of 30 to 60, 10% of ten.
        max_coverage_loss: share of the champion's coverage that may be lost.
        max_gini_rise: by how much the Gini coefficient of recommendations may rise.
        max_slowdown: how many times as long a list may take as the champion's, at the percentile
            `SLOW` of lists that are made in turns.
        max_cold_loss: share of the champion's mean that may be lost among people with fewer than
            `FEW` ratings. More is refused where it is a loss with the policy's confidence.
        min_cold_lists: fewer judge nobody: a site where no one is new still renews its models.
        max_rmse_rise: share by which the predictor of ratings may be further off than the
            champion's, in RMSE.
        max_miscoverage: by how much more than the champion's its intervals may miss the share of
            ratings that they promise to hold, whether they hold fewer or more.
        min_predicted: ratings that each predictor was measured on; fewer judge nobody.

    The rails of lists are ten times as far as two seeds of one training are apart on MovieLens 100K
    (2,815 lists): coverage by 2%, Gini by 0.002, latency by 1%, newcomers' NDCG by 0.1%.

    Predictors are measured on the newest ratings that each had, which are not the same: from one
    tenth of MovieLens 100K or latest-small to the next RMSE rose by up to 6%, and miscoverage by
    0.022. Their rails are more than twice as far.
    """

    metric: str = "ndcg@10"
    min_gain: Annotated[float, Meta(gt=-1, le=1)] = 0.0
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    min_lists: Annotated[int, Meta(ge=1)] = 1_000
    min_users: Annotated[int, Meta(ge=2)] = 30
    max_coverage_loss: Annotated[float, Meta(ge=0, le=1)] = 0.2
    max_gini_rise: Annotated[float, Meta(ge=0, le=1)] = 0.02
    max_slowdown: Annotated[float, Meta(ge=1)] = 1.5
    max_cold_loss: Annotated[float, Meta(ge=0, le=1)] = 0.1
    min_cold_lists: Annotated[int, Meta(ge=1)] = 100
    max_rmse_rise: Annotated[float, Meta(ge=0)] = 0.15
    max_miscoverage: Annotated[float, Meta(ge=0, le=1)] = 0.05
    min_predicted: Annotated[int, Meta(ge=1)] = 1_000

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            checked(value, hint, f"the gate's {name} = {value!r}")
        parse(self.metric)
