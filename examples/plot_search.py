"""
A pipeline with a search
========================

fastlogit's ``LogisticRegression`` works wherever scikit-learn takes a classifier. Here it ends a pipeline that encodes
a category, and a grid search finds the C that predicts best in cross-validation.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastlogit import LogisticRegression

# %%
# Customers of 60 towns, made up: each town has an effect of its own, and few customers.
rng = np.random.default_rng(0)
n = 600
X = pd.DataFrame({"age": rng.normal(45, 15, n), "town": [f"town {i}" for i in rng.integers(0, 60, n)]})
effect = {town: rng.normal(0, 0.8) for town in X.town.unique()}
margin = 0.04 * (X.age - 45) + X.town.map(effect)
y = rng.random(n) < 1 / (1 + np.exp(-margin))

# %%
encode = make_column_transformer(
    (StandardScaler(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["town"]), sparse_threshold=0
)
pipeline = make_pipeline(encode, LogisticRegression())
grid = {"logisticregression__C": np.geomspace(1e-3, 1e3, 13)}
search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=5).fit(X, y)
print("best C:", round(search.best_params_["logisticregression__C"], 3))

# %%
# A small C pulls all towns together; a large C believes each of them.
result = pd.DataFrame(search.cv_results_)
C = result.param_logisticregression__C.astype(float)

fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.errorbar(C, -result.mean_test_score, result.std_test_score / np.sqrt(5), marker="o", capsize=3)
ax.axvline(search.best_params_["logisticregression__C"], color="#d62728", linewidth=1, label="best C")
ax.set(xscale="log", xlabel="C", ylabel="log loss of new rows", title="Five-fold cross-validation")
ax.legend()
plt.show()
