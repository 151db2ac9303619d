"""The solvers: the optimum to what was asked for, bounds that hold, and stopping on request."""

import warnings

import numpy as np
import pytest
from optimum import LONG, optimum, true_value, value_grad_hess

import fastlogit as fl
from fastlogit.fit import warning_for
from fastlogit.kernels.machine.jit import N_CHUNKS, n_chunks
from fastlogit.penalties import Ridge
from fastlogit.plan import sample_size
from fastlogit.problem import Problem
from fastlogit.reads import run
from fastlogit.solvers import SOLVERS, certificates, duality
from fastlogit.solvers import solution as solutions
from fastlogit.solvers.factor import DenseFactor
from fastlogit.sources.protocol import Source
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")


def problem(seed):
    """Return a random problem: conditions 1 to 1e8, shifted columns, weights and offsets at times."""
    rng = np.random.default_rng(seed)
    K = (2, 2, 3, 4)[seed % 4]
    N, D = int(rng.integers(60, 400)), int(rng.integers(1, 12))
    spread = np.geomspace(1.0, 10.0 ** rng.uniform(0, 8), D)
    X = rng.standard_normal((N, D))
    X = X @ np.linalg.qr(rng.standard_normal((D, D)))[0] / spread if rng.random() < 0.5 else X * spread
    if rng.random() < 0.5:
        X = X + 3 * rng.standard_normal(D) * np.abs(X).max(axis=0)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.standard_normal((D, 1 if K == 2 else K))
    Z *= rng.uniform(0.2, 1.0) / np.sqrt(D)
    if K == 2:
        y = (rng.random(N) < 1 / (1 + np.exp(-Z[:, 0]))).astype(int)
    else:
        y = (Z - np.log(-np.log(rng.random(Z.shape)))).argmax(axis=1)
    y[:K] = np.arange(K)
    weight = rng.integers(0, 4, N) / 2.0 if seed % 3 == 0 else None
    if weight is not None:
        weight[:K] = 1.0
    offset = rng.standard_normal((N, 1 if K == 2 else K)) if seed % 5 == 0 else None
    C = (np.inf, 1.0, float(10 ** rng.uniform(-3, 3)))[seed // 4 % 3]
    return X, y, dict(sample_weight=weight, offset=offset, C=C)


def check_certificates(seeds):
    for seed in seeds:
        X, y, settings = problem(seed)
        solution = fl.solve(X, y, **settings)
        if solution.separated:
            continue
        best = optimum(X, y, **settings)[1]
        gap = float(true_value(solution.x, X, y, **settings) - best)
        if solution.gap_kind != "estimate":
            assert gap <= solution.gap + 1e-14 * float(best), seed
        assert gap <= 1e-7 * float(best), seed
        assert solution.converged == (solution.gap_kind != "estimate"), seed
        if solution.converged:
            assert solution.gap <= 1e-8 * solution.value
            # after a step that saved its read the value is the quadratic model's: within the last read's gap
            assert abs(solution.value - float(best)) <= max(solution.gap, 0.5 * solution.history[-1].gap)


def test_certificates_hold():
    check_certificates(range(60))


@pytest.mark.slow
def test_certificates_hold_on_many_problems():
    check_certificates(range(60, 500))


def check_duality(seeds):
    """Bound D, where the solvers that know no Hessian end, and far from there."""
    kinds, finite = [], 0
    for seed in seeds:
        X, y, settings = problem(seed)
        if settings["C"] == np.inf:
            continue
        W, best = optimum(X, y, **settings)
        for solver in ("lbfgs", "newton-cg"):
            solution = fl.solve(X, y, solver=solver, **settings)
            gap = float(true_value(solution.x, X, y, **settings) - best)
            kinds.append(solution.gap_kind)
            if solution.gap_kind == "D":
                assert solution.converged and solution.gap <= 1e-8 * solution.value, (seed, solver)
                assert gap <= solution.gap + 1e-14 * float(best), (seed, solver)
        C = settings.pop("C")
        source = memory_source(X, y, **settings)
        for fit_intercept in (True, False):
            objective = Problem.prepare(source, len(X) // 3, fit_intercept=fit_intercept).objective(Ridge(C))
            x = np.random.default_rng(seed).standard_normal(objective.shape)
            x[-1] = 0.1 * x[-1] if fit_intercept else 0.0
            x = (x - x.mean(axis=1, keepdims=True) if x.shape[1] > 1 else x).ravel() / 10
            point = run(objective.at(x))
            lowest = float(best) if fit_intercept else fl.solve(X, y, C=C, fit_intercept=False, **settings).value
            assert point.value - lowest <= run(duality.gap(objective, point)) * (1 + 1e-9), seed
            by_sample = run(duality.gap(objective, point, sample=objective.over_sample))
            assert point.value - lowest <= by_sample * (1 + 1e-9), seed
            finite += fit_intercept and np.isfinite(by_sample)
    assert finite > 5
    assert kinds.count("D") > 0.9 * len(kinds)


def test_duality_bound_holds():
    check_duality(range(40))


@pytest.mark.slow
def test_duality_bound_holds_on_many_problems():
    check_duality(range(40, 400))


def test_bound_at_a_point_is_tight_with_the_exact_radius():
    ratios = []
    for seed in range(0, 80, 4):
        X, y, settings = problem(seed)
        settings["C"] = 1.0
        W, best = optimum(X, y, **settings)
        scale = X.std(axis=0)
        W = W + np.r_[1e-4 / scale, 0.0][:, None] * np.random.default_rng(seed).standard_normal(W.shape)
        weight = settings["sample_weight"] if settings["sample_weight"] is not None else np.ones(len(X))
        offset = settings["offset"] if settings["offset"] is not None else np.zeros((len(X), 1))
        value, grad, hess = value_grad_hess(
            W, X.astype(LONG), np.eye(2)[y], weight.astype(LONG), offset.astype(LONG), LONG(1.0)
        )
        S = np.append(scale, 1.0)  # in standardised units float64 can factorise
        factor = DenseFactor.of((hess / np.outer(S, S)).astype(float))
        g = (grad.ravel() / S).astype(float)
        decrement = float(g @ factor.solve(g)) ** 0.5
        tilde = np.column_stack([X, np.ones(len(X))])[weight > 0] / S
        R = np.sqrt(((tilde @ factor.inverse_root) ** 2).sum(axis=1).max())
        bound = certificates.at_point(decrement, R)
        if np.isfinite(bound):
            assert bound >= float(value - best) * (1 - 1e-6)
            ratios.append(bound / float(value - best))
    assert len(ratios) > 10
    assert np.median(ratios) < 2.0


def test_chi():
    for u, want in [(0.0, 0.5), (1e-9, 0.5), (0.5, (0.5 + 0.5 * np.log(0.5)) / 0.25), (1.0, np.inf), (np.inf, np.inf)]:
        assert certificates.chi(u) == pytest.approx(want, rel=1e-9)
    assert certificates.chi(0.99999e-3) == pytest.approx(certificates.chi(1.00001e-3), rel=1e-6)


def large(N=60_000, D=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D)) * np.geomspace(0.1, 10, D) + 5
    z = (X - 5) / np.geomspace(0.1, 10, D) @ rng.standard_normal(D)
    return X, (rng.random(N) < 1 / (1 + np.exp(-z))).astype(int)


def test_few_reads_from_a_sample():
    X, y = large(N=20_000)
    solution = fl.solve(X, y)
    assert solution.converged and solution.n_passes <= 6 and solution.gap_kind in "AP"
    W, best = optimum(X, y)
    np.testing.assert_allclose(solution.x, W.astype(float), rtol=1e-5, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(X))
    sorted_rows = np.argsort(y, kind="stable")
    for rows in (order, sorted_rows, np.repeat(order, 2)):
        weight = np.full(len(rows), len(X) / len(rows))
        again = fl.solve(X[rows], y[rows], sample_weight=weight)
        assert again.converged and again.n_passes <= 8
        np.testing.assert_allclose(again.x, solution.x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_and_shift_of_columns_do_not_matter(dtype):
    X, y = large(N=5000)
    X = X.astype(np.float32).astype(np.float64)  # so that both types hold the same numbers
    plain = fl.solve(X, y, C=np.inf, tol=1e-12)
    factor = 2.0 ** np.arange(-16, 16, 4)
    scaled = fl.solve((X * factor).astype(dtype), y, C=np.inf, tol=1e-12)
    np.testing.assert_allclose(scaled.coef[:, 0] * factor, plain.coef[:, 0], rtol=1e-6)


def test_a_huge_mean_loses_nothing():
    X, y = large(N=5000)
    far = (X - 5) + 1e6 * X.std(axis=0)
    near = far - 1e6 * X.std(axis=0)  # exact: what rounding left of the rows
    one, two = fl.solve(near, y, tol=1e-12), fl.solve(far, y, tol=1e-12)
    np.testing.assert_allclose(two.coef, one.coef, rtol=1e-6)


def test_the_stress_case_of_scikit_learn_15583():
    from sklearn.datasets import make_classification

    X, y = make_classification(n_samples=100, n_features=60, random_state=0)
    X[:, 1] += 1e4
    X[:, 0] *= 1e4
    solution = fl.solve(X, y)
    assert solution.converged
    assert solution.value == pytest.approx(12.354, abs=5e-4)


def test_spector_equals_the_published_fit():
    """Spector and Mazzeo (1980), as in Greene's Econometric Analysis; the fit is Stata 11's, from statsmodels."""
    gpa = [2.66, 2.89, 3.28, 2.92, 4.0, 2.86, 2.76, 2.87, 3.03, 3.92, 2.63, 3.32, 3.57, 3.26, 3.53, 2.74]
    gpa += [2.75, 2.83, 3.12, 3.16, 2.06, 3.62, 2.89, 3.51, 3.54, 2.83, 3.39, 2.67, 3.65, 4.0, 3.1, 2.39]
    tuce = [20, 22, 24, 12, 21, 17, 17, 21, 25, 29, 20, 23, 23, 25, 26, 19]
    tuce += [25, 19, 23, 25, 22, 28, 14, 26, 24, 27, 17, 24, 21, 23, 21, 19]
    psi = [0] * 18 + [1] * 14
    grade = [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1]
    solution = fl.solve(np.column_stack([gpa, tuce, psi]), np.array(grade), C=np.inf, tol=1e-16)
    np.testing.assert_allclose(solution.coef[:, 0], [2.82611297, 0.09515767, 2.37868773], rtol=2e-7)  # where it stopped
    assert solution.intercept[0] == pytest.approx(-13.02134832, rel=2e-7)
    exact = optimum(np.column_stack([gpa, tuce, psi]), np.array(grade), C=np.inf)[0]
    np.testing.assert_allclose(solution.x, exact.astype(float), rtol=1e-9)


@pytest.mark.parametrize("K", [2, 4])
def test_solvers_agree(K):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30_000, 6)) * np.geomspace(0.1, 10, 6)
    y = rng.integers(0, K, len(X))
    y[X[:, 0] > 0.1] = 0
    found = {name: fl.solve(X, y, solver=name, C=0.5, tol=1e-11) for name in SOLVERS}
    for solution in found.values():
        assert solution.converged
        np.testing.assert_allclose(solution.x, found["newton"].x, rtol=1e-4, atol=1e-5)
        if K > 2:
            np.testing.assert_allclose(solution.x.sum(axis=1), 0.0, atol=1e-8)


def test_without_intercept_and_standardized():
    X, y = large(N=3000)
    free = fl.solve(X, y, fit_intercept=False, tol=1e-12)
    assert free.intercept[0] == 0.0
    ones = np.column_stack([X, np.ones(len(X))])
    held = fl.solve(ones, y, fit_intercept=False, C=1e8, tol=1e-13)
    np.testing.assert_allclose(held.coef[-1], fl.solve(X, y, C=1e8, tol=1e-13).intercept, rtol=1e-4)
    scale = X.std(axis=0)
    one = fl.solve(X, y, C=0.01, standardize=True, tol=1e-12)
    two = fl.solve((X - X.mean(axis=0)) / scale, y, C=0.01, tol=1e-12)
    np.testing.assert_allclose(one.coef[:, 0] * scale, two.coef[:, 0], rtol=1e-6)


def test_wide_and_collinear():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 200))
    y = rng.integers(0, 2, 60)
    wide = fl.solve(X, y)
    assert wide.converged
    twice = np.column_stack([X[:, :3], X[:, :3], np.full(60, 7.0)])
    solution = fl.solve(twice, y, C=np.inf, tol=1e-13)
    assert solution.converged
    assert solution.coef[-1, 0] == 0.0
    assert solution.value == pytest.approx(fl.solve(X[:, :3], y, C=np.inf, tol=1e-13).value, rel=1e-10)


def test_more_parameters_than_a_hessian_at_every_read():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 330))
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0] + X[:, 1]))).astype(int)
    for dtype in (np.float64, np.float32):
        solution = fl.solve(X.astype(dtype), y, solver="newton")
        assert solution.converged and solution.gap_kind in "AP"
        assert solution.gap <= 1e-8 * solution.value


def test_what_takes_little_time_is_one_chunk():
    assert n_chunks(3000, 64, 64) == n_chunks(1500, 400, 3 * 400) == 1
    assert n_chunks(5000, 7680, 7680) >= 8 and n_chunks(10**7, 32, 3 * 28) == N_CHUNKS
    assert n_chunks(5000, 500**2, 500**2 // 4, 500) == 8  # a Hessian of 500 columns: at least 500 rows each


def test_auto_goes_on_with_newton_where_lbfgs_is_slow(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 400)) * np.geomspace(0.1, 10, 400)
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 399] / 5))).astype(int)
    quick = fl.solve(X, y)
    assert quick.converged and quick.gap_kind == "D"
    monkeypatch.setattr("fastlogit.solvers.in_turn._FIRST_STEPS", 2)
    slow = fl.solve(X, y)
    assert slow.converged and slow.gap_kind in "AP" and slow.n_iter > 2
    assert slow.value == pytest.approx(quick.value, rel=2e-8)
    passes, seconds = ([getattr(row, name) for row in slow.history] for name in ("n_passes", "seconds"))
    assert passes == sorted(passes) and seconds == sorted(seconds)
    with pytest.warns(fl.ConvergenceWarning):
        assert fl.solve(X, y, max_iter=3).n_iter == 3


def test_separated_classes_stop_with_finite_coefficients():
    X = np.random.default_rng(0).standard_normal((400, 5)) * [1.0, 100.0, 0.01, 1.0, 1.0]
    y = (X[:, 1] > 5.0).astype(int)
    with pytest.warns(fl.SeparationWarning, match=r"give C a finite value. Columns that lead: 1\.$"):
        solution = fl.solve(X, y, C=np.inf)
    assert solution.status is fl.Status.SEPARATED and solution.separated and not solution.converged
    assert np.isfinite(solution.x).all()
    margins = (X @ solution.direction[:-1] + solution.direction[-1])[:, 0]
    assert (np.where(y, margins, -margins) > 0.0).all()
    assert not fl.solve(X, y, C=1.0).separated


@pytest.mark.parametrize("K", [2, 3])
def test_quasi_separated_classes_are_told(K):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 3, 3000), rng.standard_normal(3000)]).astype(float)
    y = np.where(X[:, 0] == 2, 1, rng.random(3000) < 1 / (1 + np.exp(-X[:, 1]))).astype(int)
    y[X[:, 0] == 0] = 0  # only in the middle do classes mix
    if K == 3:
        y[(X[:, 0] == 1) & (rng.random(3000) < 0.3)] = 2
    with pytest.warns(fl.SeparationWarning, match=r"but for rows on the boundary.*Columns that lead: 0\.$"):
        solution = fl.solve(X, y, C=np.inf)
    assert solution.quasi_separated and not solution.separated and not solution.converged
    assert np.isfinite(solution.x).all()
    assert fl.solve(X, y, C=1.0).converged


def test_overlapping_sets_are_never_called_separated():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 3))
        y = rng.integers(0, 2, 60)
        solution = fl.solve(X, y, C=np.inf)
        assert solution.converged and not solution.separated and not solution.quasi_separated, seed


def test_labels_and_weights_are_read_where_they_lie():
    rng = np.random.default_rng(0)
    X, flags, weight = rng.standard_normal((301, 3)), rng.random((301, 2)) < 0.5, rng.random((301, 2))
    want = fl.solve(X, flags[:, 1].copy(), sample_weight=weight[:, 0].copy()).x
    np.testing.assert_array_equal(fl.solve(X, flags[:, 1], sample_weight=weight[:, 0]).x, want)
    np.testing.assert_array_equal(
        fl.solve(X[::-1].copy(), flags[::-1, 1], sample_weight=weight[::-1, 0]).x,
        fl.solve(X[::-1].copy(), flags[::-1, 1].copy(), sample_weight=weight[::-1, 0].copy()).x,
    )


def test_the_exact_radius_of_one_column():
    solution = fl.solve(np.ones((200, 1)), np.arange(200) < 110, C=np.inf, tol=1e-2)
    assert solution.converged and solution.coef[0, 0] == 0.0


def test_stopping_keeps_the_best_point():
    X, y = large(N=3000)
    rows = []
    whole = fl.solve(X, y, callback=rows.append)
    assert rows == whole.history
    assert [row.n_passes for row in rows] == sorted(row.n_passes for row in rows)
    assert rows[-1].value < rows[0].value
    stopped = fl.solve(X, y, callback=lambda row: len(rows) > 0)
    assert stopped.status is fl.Status.INTERRUPTED and not stopped.converged
    with pytest.warns(fl.ConvergenceWarning, match=r"raise max_iter. The relative gap is \d"):
        assert fl.solve(X, y, max_iter=1).status is fl.Status.MAX_ITER
    with pytest.warns(fl.ConvergenceWarning, match="time_limit passed"):
        assert fl.solve(X, y, time_limit=0.0).status is fl.Status.TIME_LIMIT

    def interrupt(row):
        if row.n_passes > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        fl.solve(X, y, callback=interrupt)
    solution = stop.value.solution
    assert solution.status is fl.Status.INTERRUPTED
    assert np.isfinite(solution.x).all()


def test_ctrl_c_while_a_row_of_the_history_is_written(monkeypatch):
    X, y = large(N=2000)
    want = fl.solve(X, y, solver="newton-cg").history

    class Row(solutions.Row):
        def __init__(self, *args):
            if len(args) and args[0] == want[2].n_passes:
                raise KeyboardInterrupt
            super().__init__(*args)

    monkeypatch.setattr(solutions, "Row", Row)
    with pytest.raises(fl.Interrupted) as stop:
        fl.solve(X, y, solver="newton-cg")
    found = stop.value.solution
    assert found.status is fl.Status.INTERRUPTED
    assert (found.value, found.gap) == (want[1].value, want[1].gap)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(n_threads=10_000), "n_threads=10000"),
        (dict(class_weight=[1.0, 2.0, 3.0]), r"class_weight has shape \(3,\)"),
    ],
    ids=str,
)
def test_bad_settings(settings, sentence):
    X, y = large(N=100)
    with pytest.raises(ValueError, match=sentence):
        fl.solve(X, y, **settings)


def test_a_sample_bounds_the_hessian_from_below():
    X, y = large(N=20_000)
    weight = np.random.default_rng(2).integers(0, 4, len(X)) / 2.0
    source = memory_source(X, y, weight)
    objective = Problem.prepare(source, sample_size(source)).objective(Ridge(3.0))
    x = np.random.default_rng(1).standard_normal(9) / 3
    below, hess = run(objective.hess_below(x, np.float64)).matrix, run(objective.curvature_at(x)).hess.matrix
    assert np.linalg.eigvalsh(hess - below)[0] >= -1e-12 * np.trace(hess)
    assert np.trace(below) > 0.02 * np.trace(hess)
    tilde = np.column_stack([(X - objective.scaling.center) / objective.scaling.scale, np.ones(len(X))])
    assert run(objective.widest_row()) == pytest.approx(np.linalg.norm(tilde, axis=1).max(), rel=1e-4)
    assert run(objective.widest_row()) >= np.linalg.norm(tilde, axis=1).max()


def test_a_callback_stops_the_fit_at_its_first_call():
    X, y = large(N=40_000)
    seen = []
    solution = fl.solve(X, y, C=2.0, solver="newton", callback=lambda row: seen.append(row) or True)
    assert solution.status is solutions.Status.INTERRUPTED and len(seen) == 1 and solution.n_passes == 2


@pytest.mark.parametrize(("spectrum", "fit_intercept"), [("flat", True), ("flat", False), ("falling", True)])
def test_lbfgs_keeps_to_the_diagonal_where_the_hessian_is_nearly_diagonal(spectrum, fit_intercept, monkeypatch):
    """It takes the diagonal at the sample's minimum, else the sample's Hessian there, worth a price of many reads."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60_000, 60))
    if spectrum == "falling":
        X = X / np.arange(1.0, 61.0) @ np.linalg.qr(rng.standard_normal((60, 60)))[0]
    z = X @ rng.standard_normal(60) * (0.3 if spectrum == "flat" else 3.0)
    seen, run_all = [], Source.run_all

    def look(self, operations):
        seen.extend((name, self.n_samples == len(X)) for name, _ in operations)
        return run_all(self, operations)

    monkeypatch.setattr(Source, "run_all", look)
    y = (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(int)
    a_read = memory_source(X, y).costs.read()
    monkeypatch.setattr("fastlogit.solvers.preconditioner.price", lambda objective: 20.0 * a_read)
    solution = fl.solve(X, y, solver="lbfgs", tol=1e-8, fit_intercept=fit_intercept)
    assert solution.converged and solution.gap_kind == "D"
    assert ("grad_hess", False) not in seen if spectrum == "flat" else ("grad_hess", False) in seen
    assert ("hess_vec", True) not in seen
    assert not fit_intercept or seen[-1] == ("hess_vec", False)  # the sample closes bound D
    assert seen.count(("loss_grad", True)) <= 10


@pytest.mark.parametrize(("is_dear", "kind"), [(False, "P"), (True, "A")])
def test_newton_reads_gradients_where_a_hessian_is_dear(is_dear, kind, monkeypatch):
    X, y = large(N=40_000)
    monkeypatch.setattr("fastlogit.solvers.newton.DEAR_HESSIAN", 0.0 if is_dear else np.inf)
    seen, run_all = [], Source.run_all

    def look(self, operations):
        if self.n_samples == len(X):
            seen.extend(name for name, _ in operations)
        return run_all(self, operations)

    monkeypatch.setattr(Source, "run_all", look)
    solution = fl.solve(X, y, C=2.0, solver="newton", tol=1e-8)
    want, value = optimum(X, y, C=2.0)
    assert solution.converged and solution.gap_kind == kind
    assert solution.value == pytest.approx(float(value), rel=1e-8) and solution.n_passes == len(seen) - 1  # but counts
    assert seen.count("grad_hess") == (0 if is_dear else 1) and seen.count("loss_grad") >= 1
    assert "widest_row" not in seen  # the survey has bounded it


@pytest.mark.parametrize("data", ["heavy tails", "condition 1e6"])
def test_gradients_are_left_where_the_sample_tells_little(data, monkeypatch):
    monkeypatch.setattr("fastlogit.solvers.newton.DEAR_HESSIAN", 0.0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 30)) if data == "condition 1e6" else rng.standard_t(2.1, (40_000, 30))
    z = X @ rng.standard_normal(30) / 5.0
    if data == "condition 1e6":
        Q = np.linalg.qr(rng.standard_normal((30, 30)))[0]
        X = X @ (Q * np.geomspace(1, 1e-6, 30)) @ Q.T
    y = (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(int)
    for C in (1.0, np.inf):
        solution = fl.solve(X, y, C=C, solver="newton", tol=1e-8)
        assert solution.converged and solution.n_passes <= 14


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_an_offset_that_leaves_no_curvature(n_classes, solver, fit_intercept):
    """Steps of 0 went on for ever, and the classes' mean curvature was divided by itself."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 2)), rng.integers(0, n_classes, 30)
    offset = 1e8 * rng.standard_normal((30, 1 if n_classes == 2 else n_classes))
    for C in (1.0, np.inf):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fl.ConvergenceWarning)
            solution = fl.solve(X, y, C=C, offset=offset, solver=solver, fit_intercept=fit_intercept, max_iter=50)
        assert np.isfinite(solution.x).all() and len(solution.history) < 150


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
def test_an_offset_that_leaves_no_loss(solver):
    X, y = np.random.default_rng(0).standard_normal((30, 2)), np.arange(30) % 2
    solution = fl.solve(X, y, offset=1e6 * (2.0 * y - 1.0), solver=solver)
    assert solution.converged and solution.value == solution.gap == 0.0


@pytest.mark.parametrize("n_samples", [1, 5])
def test_rows_that_are_all_alike(n_samples):
    """Fewer rows than columns, that span nothing once they are centred."""
    soft = np.full((n_samples, 2), [0.25, 0.75])
    solution = fl.solve(np.ones((n_samples, 8)), soft, solver="newton")
    assert solution.converged and not np.any(solution.coef)
    np.testing.assert_allclose(solution.intercept, np.log(3.0), rtol=1e-4)


def test_a_penalty_of_next_to_nothing():
    """Gradients squared over 1e-300 overflow."""
    X, y = np.random.default_rng(0).standard_normal((40, 3)), np.arange(40) % 2
    found = [fl.solve(X, y, C=C, sample_weight=1e97, standardize=True).x for C in (1e300, np.inf)]
    np.testing.assert_array_equal(*found)


def test_penalties_and_columns_whose_product_overflows():
    X, y = np.random.default_rng(0).standard_normal((10, 20)), np.arange(10) % 2
    solution = fl.solve(X * 1e100, y, C=1e-300, standardize=True)
    assert solution.converged and np.isfinite(solution.x).all()


def test_a_gap_is_no_share_of_0():
    ended = solutions.Solution(np.zeros(2), 0.0, 0.0, 1e-9, "estimate", 200, 280, solutions.Status.MAX_ITER)
    assert warning_for(ended, None)[0].endswith("Its gap is unknown.")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [1e-28, 1e-17, 1e17, 1e28])
def test_columns_whose_squares_float32_does_not_hold(size, n_classes):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3)).astype(np.float32)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, 200 - n_classes)]
    for fit_intercept in (True, False):
        want = fl.solve(X, y, C=np.inf, fit_intercept=fit_intercept)
        got = fl.solve(X * np.float32(size), y, C=np.inf, solver="lbfgs", fit_intercept=fit_intercept)
        assert got.converged and got.value == pytest.approx(want.value, rel=1e-6)
