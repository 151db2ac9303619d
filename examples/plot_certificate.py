"""
How far from the optimum?
=========================

Every fit ends with a bound on its gap: how far the objective can be above its minimum. Here the columns' scales span
four decades, which makes gradient methods stop early unless the columns are scaled first.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
scale = np.geomspace(0.01, 100, 20)
X = rng.standard_normal((10_000, 20)) * scale + 10 * scale
margin = (X / scale - 10) @ rng.standard_normal(20) / 3
y = rng.random(len(X)) < 1 / (1 + np.exp(-margin))

model = LogisticRegression(tol=1e-10).fit(X, y)
print(f"relative gap: at most {model.gap_ / model.objective_:.1e}, after {model.n_passes_} reads of X")

# %%
# The history has a row for each step. A gap whose kind is "estimate" is not proved; the last one always has to be.
history = pd.DataFrame(model.history_)
print(history[["n_passes", "objective", "gap", "gap_kind"]].to_string(index=False))

# %%
# Newton's method roughly squares the gap in each step.
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.semilogy(history.n_passes, history.gap / history.objective, "o-", label="during the fit")
ax.semilogy(model.n_passes_, model.gap_ / model.objective_, "s", markersize=8, label="after the last step")
ax.axhline(1e-10, color="grey", linewidth=1)
ax.annotate("tol", (history.n_passes.iloc[0], 1e-10), va="bottom", color="grey")
ax.set_xticks(history.n_passes)
ax.set(xlabel="reads of X", ylabel="relative gap, at most", title="10,000 x 20, columns' scales over four decades")
ax.legend()
plt.show()
