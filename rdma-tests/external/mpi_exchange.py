#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""An MPI program that needs no compiler of an MPI's own: each rank sends patterns to its neighbour and compares what comes.

Usage: mpi_exchange.py openmpi|mpich    (as each of the ranks that mpirun starts)

Prints a line per rank: how many bytes have been compared.
"""

import ctypes
import sys

SIZES = (1, 1000, 70_000, 3_000_000)  # short, eager and rendezvous messages
ROUNDS = 5
LIBRARIES = {"openmpi": "libmpi.so.40", "mpich": "libmpich.so.12"}


def handles(kind, mpi):
    """MPI_COMM_WORLD and MPI_BYTE: objects of the one library, numbers in the other."""
    if kind == "mpich":
        return ctypes.c_int(0x44000000), ctypes.c_int(0x4C00010D)
    return ctypes.byref(ctypes.c_char.in_dll(mpi, "ompi_mpi_comm_world")), ctypes.byref(
        ctypes.c_char.in_dll(mpi, "ompi_mpi_byte")
    )


def pattern(rank, turn, size):
    seed = bytes((rank * 131 + turn * 17 + i * 7) & 0xFF for i in range(251))
    return (seed * (size // len(seed) + 1))[:size]


def exchange(mpi, world, byte, rank, ranks):
    """Send to the next rank and receive from the one before, round after round. Returns how many bytes were right."""
    compared = 0
    for turn in range(ROUNDS):
        for size in SIZES:
            out = ctypes.create_string_buffer(pattern(rank, turn, size), size)
            got = ctypes.create_string_buffer(size)
            status = ctypes.create_string_buffer(64)
            before = (rank - 1) % ranks
            mpi.MPI_Sendrecv(out, size, byte, (rank + 1) % ranks, turn, got, size, byte, before, turn, world, status)
            if got.raw != pattern(before, turn, size):
                sys.exit("rank %d: %d bytes of round %d are not what rank %d sent" % (rank, size, turn, before))
            compared += size
    return compared


def main():
    mpi = ctypes.CDLL(LIBRARIES[sys.argv[1]], mode=ctypes.RTLD_GLOBAL)
    mpi.MPI_Init(None, None)
    world, byte = handles(sys.argv[1], mpi)
    rank, ranks = ctypes.c_int(), ctypes.c_int()
    mpi.MPI_Comm_rank(world, ctypes.byref(rank))
    mpi.MPI_Comm_size(world, ctypes.byref(ranks))
    if ranks.value < 2:
        sys.exit("one rank alone has nobody to talk to")
    compared = exchange(mpi, world, byte, rank.value, ranks.value)
    print("rank %d: %d bytes compared" % (rank.value, compared), flush=True)
    mpi.MPI_Finalize()


if __name__ == "__main__":
    main()
