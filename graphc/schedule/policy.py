"""What a target asks of the schedule: the passes, the units and most of the fusion are the same for all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """How kernels are shaped for a target.

    clusters  kernels that go over the same rows become one, which does a chunk of rows at a time, in cache
    merged    adjacent loops become one where all arrays have their axes side by side
    rows      values needed only within a row of their kernel share the memory of one row
    columns   what a thread has of a result is its own: a reduction that keeps an axis behind one it reduces is a kernel
              of its own, with what it keeps outside; a scatter goes by owners; rows are sorted all at once
    recompute a value that several read is computed by each, unless that is much work: memory is what is slow
    direct    convolutions, and windows added up, are the sums that define their elements, one by one
    epilogues what is computed element by element of a product of matrices joins its kernel
    partial   only what combines along the outermost loop is cut into chunks; else every kernel that is large enough is
    """

    clusters: bool = True
    merged: bool = True
    rows: bool = True
    columns: bool = False
    recompute: bool = False
    direct: bool = False
    epilogues: bool = False
    partial: bool = False


CPU = Policy()
"""Few threads, each of which goes over the rows of a chunk and keeps them in its cache."""

CUDA = Policy(
    clusters=False, merged=False, rows=False, columns=True, recompute=True, direct=True, epilogues=True, partial=True
)
"""Thousands of threads, for each of which there is an element, or for a block of which there is a row or a chunk."""
RECOMPUTED = 32
"""Work below which values are computed again, see `storage`: some functions such as exp."""
GRAIN, MOST_CHUNKS = 8192, 1024
"""Of `partial` chunks: about how many elements one has at least, and how many there are at most; see `chunks`."""
