"""The shapes of the atlas: a case is its name, ``rows x columns`` and what is not as usual, such as 5000x768-K10-f32.

What is usual: two classes, float64, dense columns of mean 0 and deviation 1, C = 1. ``-K3`` are three classes, ``-f32``
is float32, ``-raw`` are columns scaled over two decades and shifted, ``-sparse`` is text (words by Zipf's law, 75 a
row, rows of norm 1), ``-onehot`` are ten categories with as many levels in all as columns, ``-C100`` is C = 100.
``iris``, ``cancer`` and ``digits`` are scikit-learn's, as they are. Labels are drawn by a model, so classes are not
separable where rows are many more than columns times classes, and only there is C infinite. As many classes as rows are
one row each.
"""

from typing import NamedTuple

import numpy as np
import peers

_NAMES = """
    iris cancer digits digits-C0.01 digits-C100
    50x3 100x5 1000x10 5000x30 300x200 500x500 1000x1000 1500x400 2000x500 10000x5 10000x200 100000x10
    20000x2000-f32 5000x1000-f32 2e5x50 1e5x1000-f32 1e6x100 1e6x10-f32 1e7x30-f32
    100x5-raw 1000x10-raw 10000x30-raw 2000x500-raw 2e5x50-raw 1e5x1000-f32-raw 1e6x100-raw 1e7x28-f32-raw
    1000x10-C0.01 1000x10-C100 1000x10-Cinf 1500x400-C0.01 1500x400-C100 10000x30-raw-Cinf 1e5x100-C100 1e5x100-Cinf
    50x1000 80x3000 200x2000 250x1800 150x20000 50x1e5 500x10000-f32 1000x5000
    80x3000-C100 250x1800-C0.01 250x1800-C100 250x1800-raw
    1000x10-K5 2000x5-K50 10000x10-K3-Cinf 10000x50-K100 891x1-K891 250x1800-K3 100x5000-K4 900x640-K10-f32
    1000x768-K10-f32 5000x768-K10-f32 20000x100-K20-C100 20000x784-K10-f32-raw 1e5x54-K7-raw 1e6x20-K5-f32
    30000x512-K200-f32-C0.1
    2000x10000-sparse 2000x10000-sparse-C100 2000x10000-K5-sparse 20000x20000-sparse-C0.01 20000x47000-sparse
    11000x1e5-K20-sparse 4e5x50000-sparse
    2000x100-onehot 10000x300-onehot 1e5x1000-onehot-C100 1e5x1000-K5-onehot 1e6x3000-onehot
"""
LOADED = {"iris": (150, 4, 3), "cancer": (569, 30, 2), "digits": (1797, 64, 10)}
_WORDS, _CATEGORIES = 75, 10


class Case(NamedTuple):
    """What a name says; ``nonzeros`` a row of sparse data, ``loaded`` the name of data that are not generated."""

    rows: int
    columns: int
    classes: int = 2
    dtype: str = "float64"
    raw: bool = False
    nonzeros: int = 0
    C: float = 1.0
    loaded: str = ""

    @property
    def margins(self):
        """Return the number of columns of the coefficients."""
        return self.classes if self.classes > 2 else 1


def parse(name):
    """Return the case of a name, which need not be in the list."""
    shape, *marks = name.split("-")
    if shape in LOADED:
        rows, columns, classes = LOADED[shape]
        case = Case(rows, columns, classes, raw=True, loaded=shape)
    else:
        case = Case(*(int(float(number)) for number in shape.split("x")))
    flags = {
        "f32": {"dtype": "float32"},
        "raw": {"raw": True},
        "sparse": {"nonzeros": _WORDS},
        "onehot": {"nonzeros": _CATEGORIES},
    }
    for mark in marks:
        if mark[0] in "KC":
            change = {"classes": int(mark[1:])} if mark[0] == "K" else {"C": float(mark[1:])}
        else:
            if mark not in flags:
                raise ValueError(f"{name}: what is {mark}?")
            change = flags[mark]
        case = case._replace(**change)
    return case


CASES = {name: parse(name) for name in _NAMES.split()}


def generate(case):
    """Return X and y; the classes are 0, 1, ..., and each has a row."""
    if case.loaded:
        from sklearn import datasets

        loader = {"cancer": "breast_cancer"}.get(case.loaded, case.loaded)
        X, y = getattr(datasets, f"load_{loader}")(return_X_y=True)
    elif case.nonzeros:
        one_hot = case.nonzeros == _CATEGORIES
        X, y = peers.generate_sparse(case.rows, case.columns, case.nonzeros, one_hot, case.classes)
    else:
        X, y = peers.generate_dense(case.rows, case.columns, case.dtype, case.classes, case.raw)
    if case.classes == case.rows:
        y = np.random.default_rng(0).permutation(case.rows)
    return X.astype(case.dtype, copy=False), np.unique(y, return_inverse=True)[1]
