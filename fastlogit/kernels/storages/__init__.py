"""Storages: how X is stored in memory, a file for each way, and what they share."""

from fastlogit.kernels.storages import coded_kernels, columns, csr_kernels, nothing, rows, table  # noqa: F401  (they register their kernels)
