"""
Images
======

The rows are images of handwritten digits, with one column for each pixel. There are ten classes, so that the model has
one set of coefficients for each digit: it can be drawn as an image too.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastlogit import LogisticRegression

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

model = LogisticRegression(C=0.01).fit(X_train, y_train)
print("accuracy on new images:", round(model.score(X_test, y_test), 3))
print("coefficients:", model.coef_.shape)

# %%
# Ink on a red pixel speaks for the digit, ink on a blue pixel against it.
fig, axes = plt.subplots(2, 5, figsize=(6.4, 3), layout="constrained")
limit = abs(model.coef_).max()
for digit, ax in enumerate(axes.flat):
    ax.imshow(model.coef_[digit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(digit)
    ax.axis("off")
plt.show()
