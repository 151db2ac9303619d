"""
Data frames as they lie
=======================

Frames are read column by column, where the columns lie: nothing of their size is made. Labels may be texts, and some of
the margin may be known beforehand (an offset).
"""

import numpy as np
import polars as pl

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
n = 100_000
frame = pl.DataFrame(
    {
        "age": rng.normal(50, 12, n).astype(np.float32),
        "income": rng.lognormal(10, 1, n),
        "visits": rng.poisson(3, n),
        "member": rng.random(n) < 0.4,
    }
)
known = np.log(rng.uniform(0.5, 2.0, n))  # exposure
margin = known + 0.05 * (frame["age"].to_numpy() - 50) + 0.8 * frame["member"].to_numpy() - 0.5
y = np.where(rng.random(n) < 1 / (1 + np.exp(-margin)), "claim", "none")

model = LogisticRegression().fit(frame, y, offset=-known)
print(dict(zip(frame.columns, model.coef_[0].round(3), strict=True)), model.classes_)

# %%
# What is missing is an error that says where.
frame[17, "age"] = None
try:
    model.predict(frame)
except ValueError as error:
    print(error)

# %%
# Soft labels: the probability of each class, where experts disagree.
votes = rng.dirichlet([2.0, 1.0, 1.0], n)
soft = LogisticRegression().fit(frame.select("income", "visits"), votes)
print(soft.classes_, soft.intercept_.round(3))
