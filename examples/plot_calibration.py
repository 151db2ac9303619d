"""
Calibration
===========

Probabilities are calibrated if, of the rows with a predicted probability of 30 %, about 30 % belong to the class.
Logistic regression minimises the log loss, which rewards this. Naive Bayes counts correlated columns twice and is too
sure.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from fastlogit import LogisticRegression

# Four causes, and five measurements of each.
rng = np.random.default_rng(0)
causes = rng.standard_normal((20_000, 4))
y = rng.random(len(causes)) < 1 / (1 + np.exp(-causes @ [1.0, -1.0, 0.5, 0.5]))
X = np.repeat(causes, 5, axis=1) + 0.5 * rng.standard_normal((len(causes), 20))
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Points on the diagonal are calibrated.
fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for name, model in (("fastlogit", LogisticRegression()), ("naive Bayes", GaussianNB())):
    model.fit(X_train, y_train)
    print(f"{name}: log loss {log_loss(y_test, model.predict_proba(X_test)):.3f}")
    CalibrationDisplay.from_estimator(model, X_test, y_test, n_bins=10, name=name, ax=ax)
ax.set(xlabel="predicted probability", ylabel="share of rows in the class", title="Predicted and observed")
plt.show()
