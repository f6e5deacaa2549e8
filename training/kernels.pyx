# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Loops that NumPy has no function for, each a few passes over arrays there.

What they are given is checked where they are called: nothing is checked here.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

ctypedef fused Column:
    uint16_t
    uint32_t

# As SciPy has them.
ctypedef fused Place:
    int32_t
    int64_t

cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil

# What is read next may be anywhere in some MB: to wait for it takes longer than what is done then.
cdef enum:
    _ENTRIES = 32  # of a sparse matrix, ahead of which rows by its columns are fetched
    _VECTORS = 8  # ahead of which one is
    _LINE = 64  # bytes that are fetched at once

# Scores that are looked at together: in most blocks there is none of the highest.
cdef enum:
    _BLOCK = 64


cdef inline void _fetch(const void *what, Py_ssize_t size) noexcept nogil:
    """Have so many bytes in the cache soon, if any."""
    cdef Py_ssize_t at = 0
    while at < size:
        __builtin_prefetch(<const char *>what + at)
        at += _LINE
    if size > 0:
        __builtin_prefetch(<const char *>what + size - 1)


cdef inline float _single(uint16_t half) noexcept nogil:
    """A finite f16, given as its bits: those of a f32 but for the exponent's bias, 15 and not 127."""
    cdef uint32_t bits = (<uint32_t>(half & 0x7FFF)) << 13
    cdef float magnitude
    memcpy(&magnitude, &bits, 4)
    magnitude *= 5.192296858534828e33  # 2**112
    return -magnitude if half & 0x8000 else magnitude


def fade(
    const int64_t[::1] lists,
    const int64_t[::1] rows,
    const int64_t[::1] half_stars,
    int64_t movies,
    int64_t liked_from,
    double recency,
    double least,
    int64_t[::1] kept,
    float[::1] weights,
    int64_t[::1] ends,
):
    """What each of e ratings counts, see `training.standing`.

    Args:
        lists, rows, half_stars: i64[e] of the ratings.
        movies: rows from which on, and below 0, there is no evidence.
        liked_from: half stars of a rating that counts.
        recency: what one counts of the next one that does.
        least: what one must count.
        kept: i64[e], in place, at its end the rows of those that do.
        weights: f32[e], in place, at its end what they count.
        ends: i64[B + 1], in place, where those of each user begin, and the last one's end.

    Returns:
        Where in `kept` and `weights` the first is.
    """
    cdef Py_ssize_t user, users = ends.shape[0] - 1
    cdef Py_ssize_t at = lists.shape[0] - 1, begin = lists.shape[0]
    cdef double weight
    with nogil:
        ends[users] = begin
        for user in range(users - 1, -1, -1):
            weight = 1
            while at >= 0 and lists[at] == user:
                if half_stars[at] >= liked_from:
                    if 0 <= rows[at] < movies and weight >= least:
                        begin -= 1
                        kept[begin], weights[begin] = rows[at], <float>weight
                    weight *= recency
                at -= 1
            ends[user] = begin
        for user in range(users + 1):
            ends[user] -= begin
    return begin


def add_up(
    const int32_t[::1] indptr,
    const Column[::1] indices,
    const uint16_t[::1] halves,
    const int64_t[::1] rows,
    const float[::1] weights,
    const int64_t[::1] ends,
    float[:, ::1] scores,
):
    """Add the weighted rows of a `LinkMatrix` to the scores of B users, in the order of the rows.

    Args:
        indptr, indices, halves: of the matrix, the links as the bits of f16.
        rows: i64[w] of the matrix, user by user.
        weights: f32[w] of each.
        ends: i64[B + 1] where each user's begin, and the last one's end.
        scores: f32[B, n], in place.
    """
    cdef Py_ssize_t user, at
    cdef int32_t link, begin, size
    cdef float weight
    with nogil:
        for user in range(scores.shape[0]):
            for at in range(ends[user], ends[user + 1]):
                weight = weights[at]
                if at + 1 < rows.shape[0]:
                    begin = indptr[rows[at + 1]]
                    size = indptr[rows[at + 1] + 1] - begin
                    _fetch(&indices[begin], size * sizeof(Column))
                    _fetch(&halves[begin], size * sizeof(uint16_t))
                for link in range(indptr[rows[at]], indptr[rows[at] + 1]):
                    scores[user, indices[link]] += weight * _single(halves[link])


cdef inline bint _behind(float one, int64_t row, float other, int64_t other_row) noexcept nogil:
    """Whether a movie comes after another one: for a lower score, or the same in a later row."""
    return one < other or (one == other and row > other_row)


cdef void _sink(float* heap, int64_t* rows, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
    """Restore a heap whose first is the last of all, where only `at` may be out of place."""
    cdef Py_ssize_t child
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _behind(heap[child + 1], rows[child + 1], heap[child], rows[child]):
            child += 1
        if not _behind(heap[child], rows[child], heap[at], rows[at]):
            return
        heap[at], heap[child] = heap[child], heap[at]
        rows[at], rows[child] = rows[child], rows[at]
        at = child


cdef inline bint _any_above(const float* scores, Py_ssize_t length, float least) noexcept nogil:
    """Without a branch for each, so that a processor compares several at once."""
    cdef Py_ssize_t at
    cdef int above = 0
    for at in range(length):
        above |= scores[at] > least
    return above != 0


def highest(
    const float[:, ::1] scores,
    const uint8_t[:, ::1] left_out,
    float above,
    float[::1] heap,
    int64_t[:, ::1] found,
):
    """The rows of the highest scores, of equal ones the first rows, in any order.

    Args:
        scores: f32[B, n], none of them NaN.
        left_out: u8[B, n] what is not looked at.
        above: what a score must be more than.
        heap: f32[count], room for scores.
        found: i64[B, count], in place; where there are too few, the rest stay as they are.
    """
    cdef Py_ssize_t user, row, block, begin, end, parent, size, count = heap.shape[0]
    cdef float least
    with nogil:
        for user in range(scores.shape[0] if count else 0):
            size, least = 0, above
            for block in range((scores.shape[1] + _BLOCK - 1) // _BLOCK):
                begin = block * _BLOCK
                end = min(begin + _BLOCK, scores.shape[1])
                if not _any_above(&scores[user, begin], end - begin, least):
                    continue
                for row in range(begin, end):
                    if not scores[user, row] > least or left_out[user, row]:
                        continue
                    if size < count:
                        heap[size], found[user, size] = scores[user, row], row
                        size += 1
                        if size < count:
                            continue
                        for parent in range(count // 2 - 1, -1, -1):
                            _sink(&heap[0], &found[user, 0], count, parent)
                    else:
                        heap[0], found[user, 0] = scores[user, row], row
                        _sink(&heap[0], &found[user, 0], count, 0)
                    least = heap[0]


def add_up_groups(
    const Place[::1] indptr,
    const Place[::1] indices,
    const float[::1] values,
    const float[:, ::1] groups,
    float[:, ::1] sums,
    float[:, ::1] members,
):
    """Add up the values of each row of a sparse matrix, and how many they are, by group of columns.

    Args:
        indptr, indices, values: of the matrix, n rows and m columns.
        groups: f32[m, g] how much a column is of a group.
        sums: f32[n, g] the matrix @ groups, in place.
        members: f32[n, g] the same where every value is 1, in place.
    """
    cdef Py_ssize_t row, at, group, entries = indices.shape[0], width = groups.shape[1]
    cdef float value
    cdef const float *of
    cdef float *total
    cdef float *count
    with nogil:
        for row in range(sums.shape[0]):
            total, count = &sums[row, 0], &members[row, 0]
            for at in range(indptr[row], indptr[row + 1]):
                if at + _ENTRIES < entries:
                    _fetch(&groups[indices[at + _ENTRIES], 0], width * sizeof(float))
                value, of = values[at], &groups[indices[at], 0]
                for group in range(width):
                    total[group] += value * of[group]
                    count[group] += of[group]


cdef inline float _product(const float* one, const float* other, Py_ssize_t length) noexcept nogil:
    """In eight sums, which a processor adds to at once."""
    cdef float sums[8]
    cdef float total = 0
    cdef Py_ssize_t at = 0, lane
    for lane in range(8):
        sums[lane] = 0
    while at + 8 <= length:
        for lane in range(8):
            sums[lane] += one[at + lane] * other[at + lane]
        at += 8
    for lane in range(8):
        total += sums[lane]
    for at in range(at, length):
        total += one[at] * other[at]
    return total


def products(
    const float[:, ::1] vectors, const int64_t[::1] rows, const float[::1] vector, float[::1] found
):
    """The products of some vectors with one.

    Args:
        vectors: f32[n, d].
        rows: i64[k] which of them.
        vector: f32[d].
        found: f32[k], in place.
    """
    cdef Py_ssize_t at, count = rows.shape[0], length = vectors.shape[1]
    with nogil:
        for at in range(count):
            if at + _VECTORS < count:
                _fetch(&vectors[rows[at + _VECTORS], 0], length * sizeof(float))
            found[at] = _product(&vectors[rows[at], 0], &vector[0], length)


def diversify(
    float[:, ::1] relevance,
    const int64_t[:, ::1] rows,
    const float[:, :, ::1] vectors,
    float trade_off,
    float[::1] closest,
    int64_t[:, ::1] chosen,
):
    """Fill B lists place by place, see `training.mmr`.

    Args:
        relevance: f32[B, C] of the candidates, (1 - trade_off) of their utilities; -inf, in place,
            once they are chosen.
        rows: i64[B, C] which movie each is.
        vectors: f32[B, C, d] theirs.
        trade_off: in [0, 1).
        closest: f32[C], room for the highest cosine to any of the list so far.
        chosen: i64[B, k] which candidate each place has, in place; where none is left, as it is.
    """
    cdef Py_ssize_t user, place, at, best, length = vectors.shape[2]
    cdef float most, worth, alike
    with nogil:
        for user in range(rows.shape[0]):
            for at in range(rows.shape[1]):
                closest[at] = -1
            for place in range(chosen.shape[1]):
                best, most = -1, -INFINITY
                for at in range(rows.shape[1]):
                    worth = relevance[user, at] - trade_off * closest[at]
                    if worth > most:
                        best, most = at, worth
                if best < 0:
                    break
                chosen[user, place] = best
                for at in range(rows.shape[1]):
                    if rows[user, at] == rows[user, best]:
                        relevance[user, at] = -INFINITY
                    elif trade_off > 0 and relevance[user, at] > -INFINITY:
                        alike = _product(&vectors[user, at, 0], &vectors[user, best, 0], length)
                        if alike > closest[at]:
                            closest[at] = alike


def add_up_vectors(
    const Place[::1] indptr,
    const Place[::1] indices,
    const float[::1] weights,
    const float[:, ::1] vectors,
    float[:, ::1] sums,
):
    """Add up the weighted vectors of the columns for each row of a matrix.

    Args:
        indptr, indices, weights: of a sparse matrix, n rows and m columns.
        vectors: f32[m, d] of the columns.
        sums: f32[n, d] the matrix @ vectors, in place.
    """
    cdef Py_ssize_t row, at, one, entries = indices.shape[0], width = vectors.shape[1]
    cdef const float *vector
    cdef float weight
    with nogil:
        for row in range(sums.shape[0]):
            for at in range(indptr[row], indptr[row + 1]):
                if at + _ENTRIES < entries:
                    _fetch(&vectors[indices[at + _ENTRIES], 0], width * sizeof(float))
                weight, vector = weights[at], &vectors[indices[at], 0]
                for one in range(width):
                    sums[row, one] += weight * vector[one]


def add_up_outer(
    const Place[::1] indptr,
    const Place[::1] indices,
    const float[::1] weights,
    const float[:, ::1] vectors,
    float[:, :, ::1] sums,
):
    """Add up the weighted outer products of vectors with themselves for each row of a matrix.

    Args:
        indptr, indices, weights: of a sparse matrix, n rows and m columns.
        vectors: f32[m, d] of the columns.
        sums: f32[n, d, d], in place.
    """
    cdef Py_ssize_t row, at, one, other, entries = indices.shape[0], width = vectors.shape[1]
    cdef const float *vector
    cdef float *total
    cdef float weighted
    with nogil:
        for row in range(sums.shape[0]):
            for at in range(indptr[row], indptr[row + 1]):
                if at + _ENTRIES < entries:
                    _fetch(&vectors[indices[at + _ENTRIES], 0], width * sizeof(float))
                vector = &vectors[indices[at], 0]
                for one in range(width):
                    weighted, total = weights[at] * vector[one], &sums[row, one, 0]
                    for other in range(one + 1):
                        total[other] += weighted * vector[other]
            for one in range(width):
                for other in range(one):
                    sums[row, other, one] = sums[row, one, other]
