"""Estimators with scikit-learn's conventions, and what only they need."""

from fastlogit.estimators.logistic_regression import LogisticRegression

__all__ = ["LogisticRegression"]
