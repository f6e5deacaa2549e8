# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Loops of the second stage that NumPy has no function for, each a few passes over arrays there.

What they are given is checked where they are called: nothing is checked here.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

ctypedef fused Column:
    uint16_t
    uint32_t


cdef inline float _single(uint16_t half) noexcept nogil:
    """A finite f16, given as its bits: those of a f32 but for the exponent's bias, 15 and not 127."""
    cdef uint32_t bits = (<uint32_t>(half & 0x7FFF)) << 13
    cdef float magnitude
    memcpy(&magnitude, &bits, 4)
    magnitude *= 5.192296858534828e33  # 2**112
    return -magnitude if half & 0x8000 else magnitude


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
    cdef int32_t link
    cdef float weight
    with nogil:
        for user in range(scores.shape[0]):
            for at in range(ends[user], ends[user + 1]):
                weight = weights[at]
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
    cdef Py_ssize_t user, row, parent, size, count = heap.shape[0]
    cdef float least
    with nogil:
        for user in range(scores.shape[0] if count else 0):
            size, least = 0, above
            for row in range(scores.shape[1]):
                if not scores[user, row] > least or left_out[user, row]:
                    continue
                if size < count:
                    heap[size], found[user, size] = scores[user, row], row
                    size += 1
                    if size == count:
                        for parent in range(count // 2 - 1, -1, -1):
                            _sink(&heap[0], &found[user, 0], count, parent)
                        least = heap[0]
                else:
                    heap[0], found[user, 0] = scores[user, row], row
                    _sink(&heap[0], &found[user, 0], count, 0)
                    least = heap[0]
