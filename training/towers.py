"""The two towers: movies and users as vectors of the same space, whose dot product is the score.

A user is what they rated lately: the user tower has no user id, so a new person, one who returns
and one who rated a second ago go the same way. It reads the item tower's own vectors, so a movie
that is new in somebody's history counts from its first day too.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.tower_inputs import PADDING, Floats
from training.user_towers import TowerConfig, user_tower

# What cosines are divided by at first; training moves it.
TEMPERATURE: Final = 0.07

# Of a movie's embedding at first, in each dimension: about the length of what content adds.
EMBEDDING_STD: Final = 0.1

# The same where the embeddings know something already, which content is not to drown.
INFORMED_STD: Final = 0.3

_TINY: Final = 1e-12  # where no movie has a direction, they stay 0


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


class TwoTowers(nn.Module):
    """Both towers, and what the item tower is told of the movies it is trained on.

    A movie's index is its row + 1; index PADDING is nothing.

    Args:
        config: shape.
        features: f32[n, F] of the n movies, as `tower_inputs.movie_features` makes them.
        rated: bool[n]; the others have no embedding of their own, like movies that come later.

    Raises:
        ConfigurationError: there are no such towers.
    """

    index: Tensor
    features: Tensor

    def __init__(self, config: TowerConfig, features: Floats, rated: npt.NDArray[np.bool_]) -> None:
        super().__init__()
        movies, columns = features.shape
        self.items = ItemTower(config, movies, columns)
        self.users = user_tower(config)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        index = np.where(rated, np.arange(1, len(rated) + 1), PADDING)
        self.register_buffer("index", torch.from_numpy(np.insert(index, 0, PADDING)))
        self.register_buffer("features", torch.from_numpy(np.insert(features, 0, 0, axis=0)))

    @torch.no_grad()
    def begin_with(self, directions: Floats) -> None:
        """Let the movies' own embeddings be these, f32[n, d], but for their scale."""
        scale = INFORMED_STD / max(float(np.sqrt(np.mean(np.square(directions)))), _TINY)
        self.items.embedding.weight[PADDING + 1 :] = torch.from_numpy(directions * scale)

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
