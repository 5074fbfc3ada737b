"""What tells a label from simple inputs: small, quick, and the same each time.

A fact alone meets what suits its kind, so that neither `exactly 512` nor `PNG` is lost on it; all
facts together meet boosted trees, words a logistic regression.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

_PRIOR = 10.0  # images as common as all that a category has beside its own
_LEAVES = 16  # of a tree on one fact
_SHARE_OF_LEAF = 0.005  # images of a leaf at least
_CATEGORIES = 200  # of a fact beside others; rarer ones are one


def by_category(x: np.ndarray, label: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of fakes of each category (object [n]); of one not met before, that of all."""
    names, place = np.unique(x.astype(str), return_inverse=True)
    share = label.mean()
    shares = np.bincount(place, label) + _PRIOR * share
    shares /= np.bincount(place) + _PRIOR
    at = np.searchsorted(names, others.astype(str)).clip(max=len(names) - 1)
    return np.where(names[at] == others.astype(str), shares[at], share)


def by_tree(x: np.ndarray, label: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of fakes in the leaves of a small tree on numbers, float [n, k]."""
    least = max(5, int(_SHARE_OF_LEAF * len(x)))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=_LEAVES, min_samples_leaf=least, class_weight="balanced", random_state=0
    )
    return tree.fit(x, label).predict_proba(others)[:, 1]


def by_boosting(kinds: tuple[bool, ...]) -> Callable[..., np.ndarray]:
    """Gradient-boosted trees on numbers and codes, float [n, k], NaN where there is none.

    `kinds`: which columns are codes of categories, as of `codes`.
    """

    def boosted(x: np.ndarray, label: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Scores of others, float [m]: the log-odds of fake."""
        model = HistGradientBoostingClassifier(
            learning_rate=0.2,
            max_iter=30,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=max(3, min(20, len(x) // 20)),
            categorical_features=list(kinds),
            early_stopping=False,
            random_state=0,
        )
        return model.fit(x, label).decision_function(others)

    return boosted


def codes(x: np.ndarray) -> np.ndarray:
    """Categories (object [n]) as numbers, the most frequent first; NaN where there is none."""
    there = np.array([value is not None for value in x])
    found = np.full(len(x), np.nan)
    if there.any():
        _, place, count = np.unique(x[there].astype(str), return_inverse=True, return_counts=True)
        rank = np.empty(len(count))
        rank[np.argsort(-count, kind="stable")] = np.arange(len(count))
        found[there] = np.minimum(rank[place], _CATEGORIES)
    return found


def counted(texts: Iterable[str], tokens: Callable[[str], list[str]]) -> Any:
    """Which tokens each text has: sparse 0 and 1, [n, t], and the t tokens."""
    counter = CountVectorizer(analyzer=tokens, binary=True, min_df=3, max_features=20_000)
    try:
        return counter.fit_transform(texts).tocsr(), counter.get_feature_names_out()
    except ValueError:  # no token is in three texts
        return None, np.array([])


def by_tokens(x: Any, label: np.ndarray, others: Any) -> np.ndarray:
    """A logistic regression on sparse tokens."""
    return _logistic(x, label).decision_function(others)


def telling(x: Any, label: np.ndarray, names: np.ndarray, most: int = 4) -> dict[str, list[str]]:
    """The tokens that speak most for `real` and for `fake`."""
    weight = _logistic(x, label).coef_[0]
    order = np.argsort(weight)
    return {
        "real": [str(names[i]) for i in order[:most] if weight[i] < 0],
        "fake": [str(names[i]) for i in order[::-1][:most] if weight[i] > 0],
    }


def _logistic(x: Any, label: np.ndarray) -> Any:
    model = LogisticRegression(C=0.1, solver="liblinear", class_weight="balanced", random_state=0)
    return model.fit(x, label)
