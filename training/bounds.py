"""What hyperparameters may be: `training.flat.parse` refuses the rest, and says what is allowed."""

from typing import Annotated, TypeAlias

from msgspec import Meta

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Seed: TypeAlias = Annotated[int, Meta(ge=0)]
HalfStars: TypeAlias = Annotated[int, Meta(ge=1, le=10)]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
Weight: TypeAlias = Annotated[float, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Decay: TypeAlias = Annotated[float, Meta(gt=0, le=1)]  # what something counts of the one after it
Dropout: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
