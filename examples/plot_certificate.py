"""
How far from the optimum?
=========================

Every fit ends with a bound on how far its objective can be above the minimum. Here are columns whose scales are four
decades apart, on which gradient methods that do not scale them stop early.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
scale = np.geomspace(0.01, 100, 20)
X = rng.standard_normal((200_000, 20)) * scale + 10 * scale
margin = (X / scale - 10) @ rng.standard_normal(20) / 3
y = rng.random(len(X)) < 1 / (1 + np.exp(-margin))

model = LogisticRegression(C=1.0, tol=1e-12).fit(X, y)
print(f"{model.n_passes_} reads of X; relative gap at most {model.gap_ / model.objective_:.1e} ({model.gap_kind_})")

# %%
# The history has a row for each step.
history = pd.DataFrame(model.history_)
print(history.to_string(index=False))

# %%
# Without a sample, from 0, as small data are fitted: the gap falls quadratically.
small = LogisticRegression(C=1.0, tol=1e-12).fit(X[:10_000], y[:10_000])
history = pd.DataFrame(small.history_)

fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.semilogy(history.n_passes, history.gap / history.objective, "o-", label="at the read")
ax.semilogy(small.n_passes_, small.gap_ / small.objective_, "s", label=f"after the last step, bound {small.gap_kind_}")
ax.axhline(1e-12, color="grey", linewidth=1)
ax.annotate("tol", (history.n_passes.iloc[0], 1e-12), va="bottom", color="grey")
ax.set_xticks(history.n_passes)
ax.set(xlabel="reads of X", ylabel="relative gap", title="10,000 x 20, columns over four decades")
ax.legend()
plt.show()
