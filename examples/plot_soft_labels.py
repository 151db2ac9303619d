"""
Soft labels
===========

Labels may be probabilities: one column for each class, and each row sums to 1. Here five experts vote on each row. The
majority alone forgets how sure they were, so that a fit to it is too steep; a fit to the shares of votes is not.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
x = rng.uniform(-4, 4, 400)
true = 1 / (1 + np.exp(-x))
share = rng.binomial(5, true) / 5

X = x[:, None]
majority = LogisticRegression(C=np.inf).fit(X, share > 0.5)
soft = LogisticRegression(C=np.inf).fit(X, np.column_stack([1 - share, share]))
print("slope: true 1, majority", majority.coef_.round(2), "shares", soft.coef_.round(2))

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
grid = np.linspace(-4, 4, 200)[:, None]
ax.plot(x, share, "o", markersize=3, alpha=0.3, color="grey", label="share of votes")
ax.plot(grid, majority.predict_proba(grid)[:, 1], label="fit to the majority")
ax.plot(grid, soft.predict_proba(grid)[:, 1], label="fit to the shares", linewidth=3)
ax.plot(grid, 1 / (1 + np.exp(-grid)), color="black", linewidth=1, linestyle="--", label="true probability")
ax.set(xlabel="x", ylabel="probability", title="400 rows, five votes each")
ax.legend(loc="upper left")
plt.show()
