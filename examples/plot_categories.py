"""
Categories
==========

Columns of categories go in as they are: a Parquet file is read, and each level gets a coefficient. Nothing is encoded
as columns of zeros and ones. The model means what it would mean after scikit-learn's ``OneHotEncoder``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fastlogit import LogisticRegression

# %%
# A file as it may lie on a disk: bicycle hires, some of which end with a late return.
rng = np.random.default_rng(0)
n = 200_000
days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
stations = [f"station {i}" for i in range(400)]
day, station = rng.integers(0, 7, n), (400 * rng.random(n) ** 2).astype(int)
hires = pd.DataFrame(
    {
        "distance": rng.gamma(2.0, 3.0, n).astype(np.float32),
        "day": pd.Categorical.from_codes(day, days),
        "station": pd.Categorical.from_codes(station, stations),
        "weather": pd.Categorical(rng.choice(["dry", "rain", None], n, p=[0.6, 0.3, 0.1])),
    }
)
effect_of_day = np.array([-0.2, -0.3, -0.3, -0.1, 0.2, 0.5, 0.4])
effect_of_station = rng.normal(0.0, 0.5, 400)
margin = 0.15 * hires["distance"] - 2.0 + effect_of_day[day] + effect_of_station[station]
late = rng.random(n) < 1.0 / (1.0 + np.exp(-margin))
path = Path(tempfile.mkdtemp()) / "hires.parquet"
hires.assign(late=late).to_parquet(path)

# %%
# From the file to coefficients. A missing value is a level of its own, since some rows of training have it.
frame = pd.read_parquet(path)
X, y = frame.drop(columns="late"), frame["late"]
model = LogisticRegression().fit(X, y)
print(f"{X.shape[1]} columns, {model.coef_.shape[1]} coefficients, {model.n_passes_} reads, {model.status_}")
names = model.get_feature_names_out()
coef = pd.Series(model.coef_[0], names)
print(coef.filter(like="weather"))

# %%
# A level that no row of training had is an error that says where it is; ``handle_unknown="ignore"`` takes such rows
# as none of the levels.
strange = X.head(3).astype({"day": object})
strange.loc[1, "day"] = "Someday"
try:
    model.predict(strange)
except ValueError as error:
    print(error)

# %%
# The penalty makes the levels of a category add up to 0, so that none of them is the reference. A station with few
# hires is drawn towards 0.
hires_of = np.bincount(station, minlength=400)
found = coef[[f"station_{name}" for name in stations]].to_numpy()

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.barh(days, coef[[f"day_{name}" for name in days]], color="#4292c6")
left.axvline(0, color="black", linewidth=0.8)
left.invert_yaxis()
left.set(xlabel="change of the log-odds of a late return", title="Seven levels")
points = right.scatter(effect_of_station, found, c=hires_of, s=10, cmap="viridis", norm="log")
right.axline((0, 0), slope=1, color="black", linewidth=0.8)
right.set(xlabel="true effect", ylabel="coefficient", title="400 stations")
fig.colorbar(points, label="hires", ticks=[300, 1000, 3000, 10_000], format="{x:.0f}")
plt.show()

# %%
# For tools that know scikit-learn only, ``to_sklearn`` gives the pipeline with its encoder.
print(model.to_sklearn())
