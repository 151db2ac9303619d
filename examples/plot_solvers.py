"""
Three solvers
=============

``newton``, ``lbfgs`` and ``newton-cg`` reach the same optimum. They differ in how often they read X, and in the work of
each read. ``solver="auto"``, the default, chooses by the shape of the data. Their histories show how the gap falls.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
X = rng.standard_normal((20_000, 50)) * np.geomspace(0.1, 10, 50)
margin = X @ rng.standard_normal(50) / 10
y = rng.random(len(X)) < 1 / (1 + np.exp(-margin))

best = LogisticRegression(tol=1e-14).fit(X, y).objective_

# %%
# Differences of 1e-14 and less are rounding, and are drawn at 1e-14. A solver that is there already may need further
# reads to prove that its gap is within ``tol``.
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for solver, color in (("newton", "#d62728"), ("lbfgs", "#1f77b4"), ("newton-cg", "#2ca02c")):
    model = LogisticRegression(solver=solver, tol=1e-10).fit(X, y)
    reads = [*model.history_["n_passes"], model.n_passes_]
    above = np.array([*model.history_["objective"], model.objective_]) / best - 1
    ax.semilogy(reads, np.maximum(above, 1e-14), "o-", markersize=4, color=color, label=solver)
    print(f"{solver:10} {model.n_passes_:3} reads, relative gap at most {model.gap_ / model.objective_:.0e}")
ax.axhline(1e-10, color="grey", linewidth=1)
ax.annotate("tol", (2, 1e-10), va="bottom", color="grey")
ax.set(xlabel="reads of X", ylabel="objective / minimum - 1", title="20,000 x 50")
ax.legend()
plt.show()
