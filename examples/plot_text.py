"""
Text
====

``TfidfVectorizer`` turns each text into a sparse row with one column for each word. fastlogit reads sparse rows without
filling in the zeros. The coefficients then show which words speak for which class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from fastlogit import LogisticRegression

# %%
# Reviews, made up: words of praise are more frequent in good ones, words of blame in bad ones.
rng = np.random.default_rng(0)
praise = ["lovely", "friendly", "delicious", "clean", "quick", "perfect"]
blame = ["slow", "rude", "cold", "noisy", "dirty", "stale"]
neutral = ["the", "room", "dinner", "we", "had", "a", "table", "evening", "staff", "was", "and", "very"]


def review(is_good):
    mood = rng.choice(praise if rng.random() < (0.7 if is_good else 0.3) else blame, 2)
    return " ".join(rng.permutation([*rng.choice(neutral, 8), *mood]))


labels = rng.choice(["bad", "good"], 2000)
texts = [review(label == "good") for label in labels]
print(labels[0], "-", texts[0])

# %%
# The vectorizer and the model make a pipeline, which takes texts.
model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
print(model.predict_proba(["The staff was friendly and very quick", "a cold dinner"]).round(2))

# %%
words = model[0].get_feature_names_out()
coef = model[-1].coef_[0]
order = np.argsort(coef)
shown = np.r_[order[:6], order[-6:]]

fig, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
ax.barh(words[shown], coef[shown], color=np.where(coef[shown] > 0, "#2166ac", "#b2182b"))
ax.axvline(0, color="black", linewidth=0.8)
ax.set(xlabel="coefficient: bad  ←  →  good", title="The words that tell most")
plt.show()
