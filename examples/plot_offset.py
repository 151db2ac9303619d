"""
An offset
=========

An offset is a known part of the margin. Here it repairs a sample: events are rare, so we keep all of them, but only one
in twenty of the other rows. This multiplies the odds of an event by 20. With ``offset=log(20)`` the model knows that,
and its probabilities are those of the whole population.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
X = rng.standard_normal((200_000, 3))
probability = 1 / (1 + np.exp(5 - X @ [1.0, -0.5, 0.5]))
y = rng.random(len(X)) < probability
print(f"{y.mean():.1%} of {len(y):,} rows are events")

kept = y | (rng.random(len(y)) < 1 / 20)
print(f"{kept.sum():,} rows are kept, {y[kept].mean():.0%} of them events")

# %%
# The offset is given to ``fit``. Predictions are for the population, and need none.
offset = np.full(kept.sum(), np.log(20))
naive = LogisticRegression().fit(X[kept], y[kept])
model = LogisticRegression().fit(X[kept], y[kept], offset=offset)
print("mean probability without the offset:", naive.predict_proba(X)[:, 1].mean().round(4))
print("mean probability with it:           ", model.predict_proba(X)[:, 1].mean().round(4))

# %%
fig, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
some = slice(0, 3000)
ax.loglog([1e-4, 1], [1e-4, 1], color="black", linewidth=0.8)
ax.loglog(probability[some], naive.predict_proba(X[some])[:, 1], ".", markersize=3, label="without the offset")
ax.loglog(probability[some], model.predict_proba(X[some])[:, 1], ".", markersize=3, label="with the offset")
ax.set(xlabel="true probability", ylabel="predicted probability", title="Fitted on one in twenty of the non-events")
ax.legend(markerscale=4)
plt.show()
