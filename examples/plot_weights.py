"""
Weights
=======

A weight of 3 counts a row three times. A table of counts is therefore fitted by two rows for each line, one for each
outcome, with the counts as weights.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastlogit import LogisticRegression

# %%
# How many insects were treated with each dose, and how many of them died (made up).
dose = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0])
treated = np.array([40, 10, 60, 50, 8, 55, 30, 45])
died = np.array([2, 1, 13, 24, 3, 41, 26, 42])

X = np.concatenate([dose, dose])[:, None]
y = np.repeat([1, 0], len(dose))
weight = np.concatenate([died, treated - died]).astype(float)
model = LogisticRegression(C=np.inf).fit(X, y, sample_weight=weight)

# %%
# The same fit with one row for each insect:
repeated = LogisticRegression(C=np.inf).fit(np.repeat(X, weight.astype(int), axis=0), np.repeat(y, weight.astype(int)))
print("16 rows with weights:", model.coef_[0], model.intercept_)
print(f"{treated.sum()} rows:           ", repeated.coef_[0], repeated.intercept_)

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
grid = np.linspace(0, 4.5, 100)[:, None]
ax.plot(grid, model.predict_proba(grid)[:, 1], color="#d62728", label="fit")
ax.scatter(dose, died / treated, s=4 * treated, alpha=0.6, label="share that died; size: how many were treated")
ax.set(xlabel="dose", ylabel="probability of death", title="16 weighted rows stand for 298 insects")
ax.legend(loc="upper left")
plt.show()
