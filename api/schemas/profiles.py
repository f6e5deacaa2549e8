"""How much there is to go on for somebody, and what is known of them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import answer_config

Stage: TypeAlias = Literal["new", "learning", "personal", "deep"]
AdviceKind: TypeAlias = Literal["ratings", "genres", "spread"]

_ADVICE: JsonDict = {
    "kind": "genres",
    "message": "Rate movies of other genres, such as Horror, Western or Musical",
    "gain": 0.133,
}
PROFILE_EXAMPLE: JsonDict = {
    "stage": "learning",
    "message": "We are learning your taste",
    "ratings": 5,
    "strength": 0.392,
    "advice": [_ADVICE],
}


class Advice(BaseModel):
    """What would tell more; `gain` is what the strength would rise by."""

    model_config = answer_config(_ADVICE)

    kind: AdviceKind
    message: str
    gain: float


class Profile(BaseModel):
    """How much there is to go on.

    Stages: `new` without a rating, `learning` below 10, `personal` from there on, `deep` from 50,
    where explanations look at genres too.
    """

    model_config = answer_config(PROFILE_EXAMPLE)

    stage: Stage
    message: str
    ratings: Annotated[int, Field(description="movies that they have rated")]
    strength: Annotated[float, Field(description="0 to 1")]
    advice: Annotated[list[Advice], Field(description="what gains most first")]
