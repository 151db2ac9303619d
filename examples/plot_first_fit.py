"""
My first fit
============

Import ``LogisticRegression`` from fastlogit instead of from scikit-learn; everything else stays the same. Here two
measurements of a tumour tell whether it is malignant.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from fastlogit import LogisticRegression

data = load_breast_cancer()
X = data.data[:, [20, 21]]  # the largest radius and texture of the nuclei
y = np.where(data.target == 0, "malignant", "benign")

model = LogisticRegression().fit(X, y)
print("accuracy:", round(model.score(X, y), 3))
print("within tol of the optimum:", model.converged_)

# %%
# ``predict_proba`` gives a probability for each class, in the order of ``model.classes_``.
radius, texture = np.meshgrid(np.linspace(5, 38, 200), np.linspace(10, 50, 200))
grid = np.column_stack([radius.ravel(), texture.ravel()])
probability = model.predict_proba(grid)[:, 1].reshape(radius.shape)

fig, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
shades = ax.contourf(radius, texture, probability, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
for label, color in (("benign", "#2166ac"), ("malignant", "#b2182b")):
    ax.scatter(*X[y == label].T, s=12, color=color, edgecolor="white", linewidth=0.3, label=label)
fig.colorbar(shades, label="probability that it is malignant")
ax.set(xlabel=data.feature_names[20], ylabel=data.feature_names[21], title="569 tumours, two columns")
ax.legend(loc="upper right")
plt.show()
