"""Experiments, and what has come of them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import answer_config
from stream.contracts.experiments import Kind
from stream.contracts.experiments import Strategy as ListStrategy

Status: TypeAlias = Literal["scheduled", "running", "stopped"]
Metric: TypeAlias = Literal["click_rate", "watch_rate", "skip_rate", "mean_rating", "preference"]

# Without null: FastAPI leaves it out of the OpenAPI document, with the field that has it.
_VARIANT: JsonDict = {
    "name": "treatment",
    "weight": 1.0,
    "model": "20260715-101500-3f2a",
    "ranker": True,
    "diversity": 0.6,
    "novelty": 0.0,
    "strategy": "personal",
}
_EXPERIMENT: JsonDict = {
    "name": "more-diverse",
    "kind": "ab",
    "status": "running",
    "group": "more-diverse",
    "share": 1.0,
    "control": "control",
    "variants": [_VARIANT],
    "effect": 0.1,
    "round": 1,
    "start": 1_752_537_600_000,
    "stop": 1_753_747_200_000,
}
_COUNTS: JsonDict = {
    "variant": "treatment",
    "users": 5012,
    "impressions": 48_110,
    "rates": {"click_rate": 0.1312, "mean_rating": 3.71},
}
_COMPARISON: JsonDict = {
    "variant": "treatment",
    "metric": "click_rate",
    "control": 0.1204,
    "treatment": 0.1312,
    "difference": 0.0108,
    "interval": [0.0051, 0.0165],
    "p": 0.0002,
    "anytime_interval": [0.0017, 0.0199],
    "anytime_p": 0.011,
    "uplift": 0.0897,
    "uplift_interval": [0.0413, 0.1381],
    "significant": True,
}


class VariantOut(BaseModel):
    """What some of the people of an experiment get; null leaves it as it is without."""

    model_config = answer_config(_VARIANT)

    name: str
    weight: float
    model: Annotated[str | None, Field(description="the version that makes the lists")]
    ranker: bool | None
    diversity: float | None
    novelty: float | None
    strategy: ListStrategy | None


class Experiment(BaseModel):
    """An experiment; times are milliseconds since 1970."""

    model_config = answer_config(_EXPERIMENT)

    name: str
    kind: Kind
    status: Status
    group: str
    share: Annotated[float, Field(description="of the group's people")]
    control: str
    variants: list[VariantOut]
    effect: Annotated[float, Field(description="the relative uplift that it is made to find")]
    round: Annotated[int, Field(description="each change of who gets what begins another one")]
    start: int
    stop: int | None


class Experiments(BaseModel):
    """All experiments there are, by name."""

    model_config = answer_config({"experiments": [_EXPERIMENT]})

    experiments: list[Experiment]


class Counts(BaseModel):
    """What came of one variant. A rate is null as long as there is nothing to divide by."""

    model_config = answer_config(_COUNTS)

    variant: str
    users: int
    impressions: int
    rates: dict[Metric, float | None]


class Comparison(BaseModel):
    """One variant beside the control, by one rate. Null where there is not enough to say it.

    `interval`, `p` and `uplift_interval` are right for whoever looks once, at a time set before.
    `anytime_interval` and `anytime_p` are right for whoever looks as often as they like, and stops
    when they like; `significant` goes by them. All hold with 95%, shared among the variants.
    `preference` is of interleaved lists: of those in which more was chosen of one variant's movies,
    how many more chose this one's, from -1 to 1; its `control` is 0.
    """

    model_config = answer_config(_COMPARISON)

    variant: str
    metric: Metric
    control: float | None
    treatment: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    anytime_interval: tuple[float, float] | None
    anytime_p: float | None
    uplift: float | None
    uplift_interval: tuple[float, float] | None
    significant: bool


class Mismatch(BaseModel):
    """Whether there are as many people of each variant as the weights ask for.

    With `p` under 0.001 something keeps people of one variant from being counted, and whoever is
    left is not comparable: the rest of the report is not to be trusted.
    """

    model_config = answer_config({"p": 0.61, "alarm": False})

    p: float
    alarm: bool


class Report(BaseModel):
    """What is known of an experiment by now."""

    model_config = answer_config(
        {
            "experiment": _EXPERIMENT,
            "trustworthy": True,
            "sample_ratio": {"p": 0.61, "alarm": False},
            "variants": [_COUNTS],
            "comparisons": [_COMPARISON],
        }
    )

    experiment: Experiment
    trustworthy: bool
    sample_ratio: Mismatch
    variants: list[Counts]
    comparisons: list[Comparison]
