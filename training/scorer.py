"""What trained towers answer: vectors of movies and of users, and scores."""

import torch
from torch import Tensor

from training.histories import Histories
from training.tower_inputs import PADDING, Floats, TowerInputs
from training.towers import TwoTowers


class TowerScorer:
    """Scores all movies by the towers' cosines.

    Attributes:
        vectors: f32[movies + 1, d] of the movies by index, zeros at PADDING.
    """

    def __init__(self, towers: TwoTowers) -> None:
        self._towers, self._length = towers, towers.users.length
        self.vectors = padded_vectors(towers)
        self._vectors = torch.from_numpy(self.vectors).to(towers.index.device)

    @torch.inference_mode()
    def score(self, histories: Histories) -> Floats:
        """f32[B, movies], see `recommender.Scores`."""
        scores: Floats = (self._embed(histories) @ self._vectors[1:].T).cpu().numpy()
        return scores

    @torch.inference_mode()
    def embed(self, histories: Histories) -> Floats:
        """f32[B, d], L2-normalised: the users, whose dot products with `vectors` are scores."""
        users: Floats = self._embed(histories).cpu().numpy()
        return users

    def _embed(self, histories: Histories) -> Tensor:
        return embed_users(self._towers, self._vectors, histories.tower_inputs(self._length))


def embed_users(towers: TwoTowers, vectors: Tensor, inputs: TowerInputs) -> Tensor:
    """f32[B, d] of users whose history points into `vectors`."""
    columns = (torch.from_numpy(column).to(vectors.device) for column in inputs)
    users: Tensor = towers.users(vectors, *columns)
    return users


@torch.inference_mode()
def padded_vectors(towers: TwoTowers) -> Floats:
    """f32[n + 1, d] of all movies by index; zeros at PADDING."""
    indices = torch.arange(len(towers.index), device=towers.index.device)
    vectors: Floats = towers.movie_vectors(indices).cpu().numpy()
    vectors[PADDING] = 0
    return vectors
