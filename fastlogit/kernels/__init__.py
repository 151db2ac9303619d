"""Compiled tiles and passes over X. They know arrays only: no files, no estimators, no Python objects."""
