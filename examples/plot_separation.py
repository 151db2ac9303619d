"""
Separated classes
=================

Where a plane separates the classes and there is no penalty, coefficients grow for ever. The fit stops, says so and
names the columns; a penalty makes the optimum finite.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import fastlogit as fl

rng = np.random.default_rng(1)
X = pd.DataFrame({"dose": rng.uniform(0, 10, 60), "age": rng.uniform(20, 80, 60)})
y = np.where(X.dose > 5, "responds", "does not")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    free = fl.LogisticRegression(C=np.inf).fit(X, y)
print(caught[0].message)
print("separated:", free.separated_, " converged:", free.converged_)

# %%
# With a penalty:
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
dose = pd.DataFrame({"dose": np.linspace(0, 10, 200), "age": 50.0})
for C in (0.01, 1.0, 100.0):
    model = fl.LogisticRegression(C=C).fit(X, y)
    ax.plot(dose.dose, model.predict_proba(dose)[:, 1], label=f"C = {C:g}")
ax.plot(X.dose, (y == "responds").astype(float), "|", color="black")
ax.set(xlabel="dose", ylabel="probability of a response", title="A penalty keeps the slope finite")
ax.legend()
plt.show()
