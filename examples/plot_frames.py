"""
Data frames
===========

A polars, pandas or Arrow frame is read in place, column by column, whatever the columns' number types are. Nothing of
the frame's size is made. The columns' names stand in ``feature_names_in_`` and in error messages.
"""

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from fastlogit import LogisticRegression

rng = np.random.default_rng(0)
n = 100_000
frame = pl.DataFrame(
    {
        "age": rng.normal(50, 12, n).astype(np.float32),
        "log income": rng.normal(10, 1, n),
        "visits": rng.poisson(3, n),
        "member": rng.random(n) < 0.4,
    }
)
print(frame.head(3))

margin = 0.05 * (frame["age"].to_numpy() - 50) - 0.3 * frame["visits"].to_numpy() + 0.8 * frame["member"].to_numpy()
y = np.where(rng.random(n) < 1 / (1 + np.exp(-margin)), "yes", "no")

model = LogisticRegression().fit(frame, y)
print(dict(zip(model.feature_names_in_, model.coef_[0].round(3).tolist(), strict=True)), model.classes_)

# %%
# A missing value is an error that says where it is.
broken = frame.clone()
broken[17, "age"] = None
try:
    model.predict(broken)
except ValueError as error:
    print(error)

# %%
# The effect of one standard deviation of each column:
effect = model.coef_[0] * frame.select(pl.all().cast(pl.Float64).std()).to_numpy()[0]

fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.barh(frame.columns, effect, color="#4292c6")
ax.axvline(0, color="black", linewidth=0.8)
ax.invert_yaxis()
ax.set(xlabel="change of the log-odds for one standard deviation", title="Four columns of four types")
plt.show()
