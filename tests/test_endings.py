"""Honest endings: `converged` is true where it is said, at every tolerance and every C, and a limit is kept."""

import pickle
import time
import warnings

import numpy as np
import pytest
import scipy.sparse
from endings import ends, problem
from optimum import dual_gap, optimum, true_value
from sklearn import datasets
from statsmodels import datasets as statsmodels
from test_solvers import problem as overlapping

import fastlogit as fl

TOL = 1e-8


def check_endings(seeds, solvers):
    for seed in seeds:
        found = ends(problem(seed), solvers, TOL)
        for name, (solution, _, gap) in found.items():
            assert np.isfinite(solution.x).all()
            if solution.converged:
                assert solution.gap_kind in ("A", "P", "D") and solution.gap <= TOL * solution.value, (seed, name)
                assert gap <= TOL * 1.01 + 1e-15, (seed, name, gap)
        if any(end.solution.converged for end in found.values()):
            assert found["auto"].solution.converged, seed


def test_converged_is_true():
    check_endings(range(12), ("auto", "newton", "lbfgs"))
    check_endings((3, 4, 9), ("newton-cg", "auto"))


def test_another_solver_goes_on_where_newton_stalls(kernels):
    # quasi-separated, with the weakest of penalties: Newton's model is rounding before a bound can be had
    given = problem(2996)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        assert not fl.solve(given.X, given.y, C=given.C, solver="newton").converged
        solution = fl.solve(given.X, given.y, C=given.C)
    assert solution.converged and solution.gap_kind == "D"


@pytest.mark.parametrize("seed", [105, 150, 217, 226, 243])
def test_a_weak_penalty_is_no_reason_for_many_reads(seed):
    # more columns than rows, hardly penalised: conjugate gradients alone take up to 3000 reads
    given = problem(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.SeparationWarning)
        solution = fl.solve(given.X, given.y, C=given.C)
    assert solution.converged and solution.n_passes < 100


@pytest.mark.slow
def test_converged_is_true_on_many_problems():
    check_endings(range(16, 60), ("auto",))


def standardized(X):
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0.0, scale, 1.0)


def sklearn(name, every=1):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X[::every], y[::every]


def from_statsmodels(name):
    data = getattr(statsmodels, name).load()
    return np.asarray(data.exog, float), np.asarray(data.endog).astype(int)


#: Name -> X, y, settings.
SETS = {
    f"{name}{', standardised' * scaled}, C = {C:g}": (standardized(X) if scaled else X, y, dict(C=C))
    for name, (X, y) in {name: sklearn(name) for name in ("iris", "wine", "breast_cancer")}.items()
    for scaled in (False, True)
    for C in (0.01, 1.0, 100.0)
}
SETS |= {
    f"{name}, C = {C:g}": (*from_statsmodels(name), dict(C=C)) for name in ("spector", "anes96") for C in (1, np.inf)
}
SETS |= {f"generated {seed}": overlapping(seed) for seed in range(20)}
DIGITS = {
    f"digits{', standardised' * scaled}, C = {C:g}": (standardized(X) if scaled else X, y, dict(C=C))
    for X, y in [sklearn("digits", every=6)]
    for scaled in (False, True)
    for C in (0.01, 1.0, 100.0)
}
TOLS = [0.1**k for k in range(13, 0, -1)]


def check_tolerances(X, y, settings, solver="auto", lowest=None):
    """Every tolerance is reached, with no more reads than the next tighter one needs; no value is below ``lowest``."""
    optimal = float(optimum(X, y, **settings)[1] if lowest is None else lowest)
    tighter = np.inf
    for tol in TOLS:
        solution = fl.solve(X, y, tol=tol, solver=solver, **settings)
        assert solution.converged and solution.gap <= tol * solution.value, tol
        assert float(true_value(solution.x, X, y, **settings)) - optimal <= (tol + 1e-14) * optimal, tol
        assert solution.n_passes <= tighter + 1, tol
        tighter = solution.n_passes


@pytest.mark.parametrize("name", [name for name in SETS if "generated" not in name] + ["generated 0", "generated 7"])
def test_every_tolerance_is_reached(name):
    check_tolerances(*SETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SETS if "generated" in name])
def test_every_tolerance_is_reached_on_generated_sets(name):
    check_tolerances(*SETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_every_tolerance_is_reached_on_digits(name):
    X, y, settings = DIGITS[name]
    value, gap = dual_gap(X, y, settings["C"], fl.solve(X, y, tol=1e-15, **settings).x)
    assert gap <= 1e-13 * value
    check_tolerances(X, y, settings, lowest=value - gap)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("name", ["iris, C = 1", "wine, standardised, C = 1", "breast_cancer, C = 0.01", "generated 5"])
def test_every_tolerance_is_reached_by_every_solver(name, solver):
    check_tolerances(*SETS[name], solver)


def wide(N=500, D=3000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D))
    return X, (X[:, 0] + X[:, 1] > 0.0).astype(int)


@pytest.mark.parametrize("C", [100.0, 1e4])
@pytest.mark.parametrize("solver", ["auto", "newton", "newton-cg"])
def test_separable_data_with_more_columns_than_rows(C, solver):
    """By an estimate it was called converged, 1,000 to 20,000 times `tol` above its minimum."""
    X, y = wide(150, 900)
    solution = fl.solve(X, y, C=C, solver=solver)
    assert solution.converged and solution.gap_kind == "D" and not solution.separated
    best = fl.solve(X, y, C=C, tol=1e-13)
    assert solution.value - best.value <= 1e-8 * best.value


def test_text_like_rows_with_a_weak_penalty():
    rng = np.random.default_rng(0)
    X = scipy.sparse.csr_array(rng.random((400, 8000)) * (rng.random((400, 8000)) < 0.01))
    y = rng.integers(0, 2, 400)
    for C in (1e4, 1e6):
        assert fl.solve(X, y, C=C).converged
    assert fl.LogisticRegression(standardize=True).fit(X, y).converged_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array], ids=["rows", "csr"])
def test_more_columns_than_rows_without_a_penalty(make, solver, n_classes):
    """LAPACK's eigenvectors of NaN; now separated, or collinear: a warning and finite coefficients."""
    rng = np.random.default_rng(0)
    X, y = rng.poisson(0.02, size=(60, 600)).astype(float), rng.integers(0, n_classes, 60)
    with pytest.warns(fl.ConvergenceWarning):
        solution = fl.solve(make(X), y, C=np.inf, solver=solver)
    assert np.isfinite(solution.x).all() and not solution.converged


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cg"])
def test_a_penalty_as_good_as_none_says_what_none_says(solver):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    y = (X[:, 0] + 0.3 * X[:, 1] > 0.0).astype(int)
    for C in (1e12, np.inf):
        with pytest.warns(fl.SeparationWarning, match="separated.*a (finite|smaller) value. Columns that lead: 0"):
            model = fl.LogisticRegression(C=C, solver=solver).fit(X, y)
        assert model.separated_ and np.isfinite(model.coef_).all()
    assert not fl.LogisticRegression(C=1e4).fit(X, y).separated_


def test_a_limit_on_separated_classes_says_both():
    X, y = wide(400, 3)
    fl.LogisticRegression().fit(X, y)  # loads the kernels

    def wait(row):
        if row.value < 1.0:
            time.sleep(2.0)

    with pytest.warns(fl.SeparationWarning, match="time_limit passed.*separated.*a smaller value. Columns that lead: "):
        fl.solve(X, y, C=1e12, time_limit=1.9, callback=wait)


def test_an_estimate_is_called_one():
    """What no solver can bound does not converge, and says why."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6000, 4200)), rng.integers(0, 2, 6000)
    with pytest.warns(fl.ConvergenceWarning, match="by an estimate"):
        solution = fl.solve(X[:, :2100], y, C=np.inf, solver="lbfgs", max_iter=30)
    assert not solution.converged and solution.gap_kind == "estimate"


@pytest.mark.parametrize("C", [1e9, np.inf])
def test_a_time_limit_is_kept(C):
    """One eigenvalue problem of all columns took 10 to 60 seconds. No test of speed: of an order of magnitude."""
    X, y = wide(400, 3000)
    twins = np.hstack([X[:, :1200], X[:, :1200]])
    fl.solve(X[:300, :700], y[:300])  # loads the kernels
    for rows in (X, np.vstack([twins] * 8)):
        labels = np.arange(len(rows)) % 2
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fl.ConvergenceWarning)
            fl.solve(rows, labels, C=C, time_limit=0.3)
        assert time.perf_counter() - begin < 3.0


def test_a_time_limit_covers_the_first_read():
    X, y = wide(300, 20)
    with pytest.warns(fl.ConvergenceWarning, match="time_limit passed.*Its gap is unknown"):
        solution = fl.solve(X, y, time_limit=0.0)
    assert solution.status is fl.Status.TIME_LIMIT and not np.any(solution.x) and solution.history == []
    model = fl.LogisticRegression().fit(X, y)
    again = fl.LogisticRegression(time_limit=0.0, warm_start=True)
    again.__dict__.update(coef_=model.coef_, intercept_=model.intercept_, classes_=model.classes_)
    with pytest.warns(fl.ConvergenceWarning):
        again.fit(X, y)
    np.testing.assert_allclose(again.coef_, model.coef_)


def test_ctrl_c_ends_the_loop_around_a_fit(monkeypatch):
    """One Ctrl-C in a search ended one fit, and its unfinished model went into the scores."""
    X, y = wide(300, 20)
    calls = []

    def interrupt(row, W):
        calls.append(row)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        "fastlogit.estimators.callbacks.FitTask.step", lambda self, attributes: interrupt(None, attributes)
    )
    models = [fl.LogisticRegression(C=C) for C in (0.1, 1.0, 10.0)]
    with pytest.raises(KeyboardInterrupt) as stop:
        for model in models:
            model.fit(X, y)
    assert stop.value.solution.status is fl.Status.INTERRUPTED
    sent = pickle.loads(pickle.dumps(stop.value))  # as a search's worker does
    assert isinstance(sent, KeyboardInterrupt) and sent.solution.value == stop.value.solution.value
    assert models[0].status_.startswith("Interrupted") and models[0].predict(X).shape == (300,)
    assert not hasattr(models[1], "coef_")


def test_ctrl_c_in_the_second_solver_keeps_the_first_ones_point(monkeypatch):
    X, y = wide(1000, 20)

    def interrupted(objective, x0, record):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr("fastlogit.solvers.in_turn._FIRST_STEPS", 2)
    monkeypatch.setattr("fastlogit.plan.chosen", lambda *shape: ["lbfgs", "newton"])
    monkeypatch.setitem(fl.solvers.SOLVERS, "newton", fl.solvers.in_turn.Entry(interrupted, frozenset()))
    with pytest.raises(fl.Interrupted) as stop:
        fl.solve(X, y, tol=1e-13)
    solution = stop.value.solution
    assert solution.value == min(row.value for row in solution.history) < 1000 * np.log(2)


def test_steps_are_counted_once():
    X, y = wide(3000, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        solution = fl.solve(X, y, max_iter=5, tol=1e-13)
    values = [row.value for row in solution.history]
    assert solution.n_iter == len(set(values)) - 1 + (solution.gap_kind == "P")


def test_columns_whose_squares_underflow_are_refused():
    """They passed for constant ones, and a minimum without them for the minimum."""
    X, y = wide(200, 3)
    for size in (1e-165, 1e-200, 1e-300):
        with pytest.raises(ValueError, match="X has values in column 1 whose squares underflow"):
            fl.solve(X * [1.0, size, 1.0], np.arange(200) % 2, C=np.inf)
    assert fl.solve(np.column_stack([X, np.full(200, 1e-200)]), np.arange(200) % 2, C=np.inf).converged
    with pytest.raises(ValueError, match="C=5e-324 makes a penalty that overflows float64 in units of column 0"):
        fl.solve(X, y, C=5e-324)
