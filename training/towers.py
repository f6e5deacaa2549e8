"""The two towers: movies and users as vectors of the same space, whose dot product is the score.

A user is what they rated lately: the user tower has no user id, so a new person, one who returns
and one who rated a second ago go the same way. It reads the item tower's own vectors, so a movie
that is new in somebody's history counts from its first day too.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from training.tower_inputs import PADDING, USER_FEATURES, Floats

# How much the second latest rating counts of the latest, for the fastest and slowest fading
# summary of a history; training moves them.
FASTEST: Final = 0.6
SLOWEST: Final = 0.98

# What cosines are divided by at first; training moves it.
TEMPERATURE: Final = 0.07

# Of a movie's embedding at first, in each dimension: about the length of what content adds.
EMBEDDING_STD: Final = 0.1

_NO_WEIGHT: Final = 1e-6  # keeps the mean of an empty history at 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerConfig:
    """The shape of the towers.

    Attributes:
        dimensions: of the vectors.
        history: latest ratings that the user tower reads. Of the older ones only the user features
            tell.
        summaries: how many weighted means of the history the user tower reads.
        hidden: width of the user tower's hidden layer.
        content_hidden: width of the item tower's hidden layer.
    """

    dimensions: Annotated[int, Meta(ge=1)] = 128
    history: Annotated[int, Meta(ge=1)] = 50
    summaries: Annotated[int, Meta(ge=1)] = 3
    hidden: Annotated[int, Meta(ge=1)] = 128
    content_hidden: Annotated[int, Meta(ge=1)] = 64


class ItemTower(nn.Module):
    """id and content -> vector. A movie's own embedding is what its content does not tell.

    Args:
        config: shape.
        movies: how many there are.
        features: columns of `tower_inputs.movie_features`.
    """

    def __init__(self, config: TowerConfig, movies: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(movies + 1, config.dimensions, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight[PADDING + 1 :], std=EMBEDDING_STD)
        self.content = nn.Sequential(
            nn.Linear(features, config.content_hidden),
            nn.ReLU(),
            nn.Linear(config.content_hidden, config.dimensions),
        )

    def forward(self, index: Tensor, features: Tensor) -> Tensor:
        """f32[n, d], L2-normalised.

        Args:
            index: i64[n], row + 1, or PADDING for a movie that is to have no embedding.
            features: f32[n, F], as `tower_inputs.movie_features` makes them.
        """
        return functional.normalize(self.unscaled(index, features), dim=-1)

    def unscaled(self, index: Tensor, features: Tensor) -> Tensor:
        """f32[n, d], what `forward` gives before it is brought to length 1."""
        own: Tensor = self.embedding(index) + self.content(features)
        return own


class UserTower(nn.Module):
    """History and features -> vector.

    The history is summarised by weighted means of its movies' vectors. Each has its own weights:
    one that fades with every later rating, one that fades with time, and one for each rating from
    half a star to five.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.length = config.history
        n, d = config.summaries, config.dimensions
        self.fading = nn.Parameter(torch.logit(torch.linspace(FASTEST, SLOWEST, n)))
        self.ageing = nn.Parameter(torch.full((n,), -3.0))
        self.liking = nn.Parameter((torch.arange(11) / 10).repeat(n, 1).T.contiguous())
        self.blend = nn.Parameter(torch.full((n,), 1 / n))
        self.direct = nn.Linear(d, d)
        nn.init.eye_(self.direct.weight)
        nn.init.zeros_(self.direct.bias)
        self.deep = nn.Sequential(
            nn.Linear(n * d + USER_FEATURES, config.hidden), nn.ReLU(), nn.Linear(config.hidden, d)
        )

    def forward(
        self, vectors: Tensor, history: Tensor, ratings: Tensor, ages: Tensor, features: Tensor
    ) -> Tensor:
        """f32[B, d], L2-normalised.

        Args:
            vectors: f32[m, d] that `history` points into.
            history, ratings, ages, features: as in `TowerInputs`.
        """
        steps = torch.arange(history.shape[1], dtype=torch.float32, device=history.device)
        fading = steps[:, None] * functional.logsigmoid(self.fading)
        ageing = torch.log1p(ages)[:, :, None] * functional.softplus(self.ageing)
        weights = torch.exp(fading - ageing) * (history != PADDING)[:, :, None]
        weights = weights / (weights.sum(1, keepdim=True) + _NO_WEIGHT)
        weights = weights * functional.embedding((ratings * 2).long(), self.liking)
        movies = functional.embedding(history, vectors)
        # Contiguous, because bmm of a transposed view takes four times as long.
        summaries = torch.bmm(weights.transpose(1, 2).contiguous(), movies)
        blended = torch.einsum("bnd,n->bd", summaries, self.blend)
        deep = self.deep(torch.cat([summaries.flatten(1), features], dim=1))
        return functional.normalize(self.direct(blended) + deep, dim=-1)


class TwoTowers(nn.Module):
    """Both towers, and what the item tower is told of the movies it is trained on.

    A movie's index is its row + 1; index PADDING is nothing.

    Args:
        config: shape.
        features: f32[n, F] of the n movies, as `tower_inputs.movie_features` makes them.
        rated: bool[n]; the others have no embedding of their own, like movies that come later.
    """

    index: Tensor
    features: Tensor

    def __init__(self, config: TowerConfig, features: Floats, rated: npt.NDArray[np.bool_]) -> None:
        super().__init__()
        movies, columns = features.shape
        self.items = ItemTower(config, movies, columns)
        self.users = UserTower(config)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        index = np.where(rated, np.arange(1, len(rated) + 1), PADDING)
        self.register_buffer("index", torch.from_numpy(np.insert(index, 0, PADDING)))
        self.register_buffer("features", torch.from_numpy(np.insert(features, 0, 0, axis=0)))

    def movie_vectors(self, indices: Tensor, hidden: Tensor | None = None) -> Tensor:
        """f32[m, d], L2-normalised.

        Args:
            indices: i64[m] of movies.
            hidden: bool[m], which of them to embed by content alone.
        """
        index = self.index[indices]
        if hidden is not None:
            index = index.masked_fill(hidden, PADDING)
        vectors: Tensor = self.items(index, self.features[indices])
        return vectors
