"""Vectors of who and what is hardly known yet, to be laid beside those of everything known."""

import numpy as np
import torch

from stream.coldstart import INDIFFERENT, RECENCY
from training.dataset import Ratings
from training.histories import Histories
from training.tower_inputs import PADDING, Floats, Ints, movie_features
from training.towers import TwoTowers


def first_ratings(log: Ratings, users: Ints, count: int) -> Histories:
    """These users when they had given so many ratings, or all if they never gave so many."""
    everything = Histories.of_users(log, users)
    ends = np.minimum(everything.starts + count, everything.ends)
    return Histories(log, everything.starts, ends)


def pooled(vectors: Floats, histories: Histories) -> Floats:
    """f32[B, d], L2-normalised: the vectors of what somebody rated, weighted as
    `stream.coldstart.ItemVectors.pool` does. Zeros where that comes to nothing.

    Args:
        vectors: f32[movies, d], L2-normalised.
        histories: B of them.
    """
    rated = histories.rated()
    log = histories.log
    weights = (log.half_stars[rated.events] / 2 - INDIFFERENT) * RECENCY**rated.steps
    sums = np.zeros((len(histories), vectors.shape[1]), np.float32)
    np.add.at(sums, rated.lists, vectors[log.rows[rated.events]] * weights[:, None])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    scaled: Floats = np.divide(sums, lengths, out=sums, where=lengths > 0)
    return scaled


def recognised(early: Floats, final: Floats) -> Floats:
    """f32[B]: of the other users, the share whose final vector is less like somebody's early one
    than their own is. One half by chance, whatever all vectors have in common.

    Args:
        early: f32[B, d] of two users and more.
        final: f32[B, d] of the same.
    """
    cosines = early @ final.T
    own = np.diag(cosines)[:, None]
    shares: Floats = ((cosines < own).sum(1) / (len(cosines) - 1)).astype(np.float32)
    return shares


@torch.inference_mode()
def content_vectors(towers: TwoTowers, log: Ratings) -> Floats:
    """f32[movies, d]: what each movie's vector would be had nobody rated it yet."""
    features = torch.from_numpy(movie_features(log.movies, log.genres))
    nothing = torch.full((len(features),), PADDING)
    vectors: Floats = towers.items(nothing, features).numpy()
    return vectors


@torch.inference_mode()
def lengths(towers: TwoTowers) -> Floats:
    """f32[movies]: how long each movie's vector is before it is brought to length 1."""
    vectors = towers.items.unscaled(towers.index, towers.features)
    found: Floats = vectors.norm(dim=-1)[PADDING + 1 :].numpy()
    return found


def places_of(queries: Floats, vectors: Floats, wanted: Ints) -> Ints:
    """i64[n, k]: for each query, the rank of k vectors by their dot product with it, 1 the best.

    The vector in the query's own place is not counted.

    Args:
        queries: f32[n, d].
        vectors: f32[n, d].
        wanted: i64[n, k] places of vectors, none of them the query's own.
    """
    scores = queries @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    own = np.take_along_axis(scores, wanted, axis=1)
    above = [(scores > some[:, None]).sum(1) for some in own.T]
    return np.stack(above, axis=1) + 1
