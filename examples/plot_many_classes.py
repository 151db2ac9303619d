"""
Many classes
============

With three classes and more, the model is softmax regression: each class has its own coefficients, and the probabilities
of all classes sum to 1. Nothing has to be set. Here are 25 classes in two dimensions.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from fastlogit import LogisticRegression

angle = np.arange(25) * 2.4
centers = 3 * np.sqrt(np.arange(25))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
X, y = make_blobs(5000, centers=centers, cluster_std=0.9, random_state=0)

model = LogisticRegression(C=10.0).fit(X, y)
print("accuracy:", round(model.score(X, y), 3))
print("coefficients:", model.coef_.shape, " converged:", model.converged_)

# %%
# Adding the same number to the coefficients of all classes would change no probability. fastlogit returns the
# coefficients that sum to 0.
print("sums over classes:", abs(model.coef_.sum(axis=0)).max().round(9), abs(model.intercept_.sum()).round(9))

# %%
# The region of each class. Between any two classes the boundary is a straight line.
edge = abs(X).max()
side = np.linspace(-edge, edge, 300)
grid = np.column_stack([axis.ravel() for axis in np.meshgrid(side, side)])
region = model.predict(grid).reshape(300, 300)

fig, ax = plt.subplots(figsize=(5.2, 5), layout="constrained")
colors = np.arange(25) * 7 % 25  # neighbours differ
ax.imshow(colors[region], extent=(-edge, edge, -edge, edge), origin="lower", cmap="gist_rainbow", alpha=0.35)
ax.scatter(*X.T, c=colors[y], cmap="gist_rainbow", s=3)
ax.set(xticks=[], yticks=[], title="25 classes")
plt.show()
