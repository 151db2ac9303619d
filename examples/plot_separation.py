"""
Separated classes
=================

If a plane separates the classes, larger coefficients always fit better: without a penalty there is no finite optimum.
fastlogit notices this, stops, and names the columns. A penalty makes the optimum finite.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fastlogit import LogisticRegression

rng = np.random.default_rng(1)
X = pd.DataFrame({"dose": rng.uniform(0, 10, 60), "age": rng.uniform(20, 80, 60)})
y = np.where(X.dose > 5, "responds", "does not")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    free = LogisticRegression(C=np.inf).fit(X, y)
print(caught[0].message)
print("separated:", free.separated_, " converged:", free.converged_)

# %%
# With a penalty the slope is finite; the weaker the penalty (the larger C), the steeper it is.
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
dose = pd.DataFrame({"dose": np.linspace(0, 10, 200), "age": 50.0})
for C, color in ((0.01, "#9ecae1"), (1.0, "#4292c6"), (100.0, "#084594")):
    model = LogisticRegression(C=C).fit(X, y)
    ax.plot(dose.dose, model.predict_proba(dose)[:, 1], color=color, label=f"C = {C:g}")
ax.plot(X.dose, (y == "responds").astype(float), "|", color="black", label="patients")
ax.set(xlabel="dose", ylabel="probability of a response", title="A penalty keeps the slope finite")
ax.legend(loc="center right")
plt.show()
