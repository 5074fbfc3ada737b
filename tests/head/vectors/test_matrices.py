import numpy as np
import pyarrow as pa
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.vectors.gather import SCALARS
from pipeline.head.vectors.matrices import matrices

IMAGES = [5, 8, 9, 130, 5]  # 8 has no objects, the second object of 9 failed, 5 twice
IDS = pa.chunked_array([[f"{i:032x}" for i in IMAGES]])


def stored(vector):
    """A vector as it comes back from the store: float16, and then of unit length."""
    x = np.asarray(vector, np.float16).astype(np.float64)
    return x / np.linalg.norm(x)


def by_hand(made, image, representation, pooling, k):
    """One image's global and local, pair by pair."""
    lengths = {"image": made.features["norm"][image], "text": 3.0}
    caption = made.captions["caption"][image]

    def one(seen, seen_norm, text):
        v, t = stored(seen), stored(made.texts[text])
        raw = seen_norm * v - lengths["text"] * t
        difference = raw if representation == "raw_difference" else v - t
        forms = {"unit_difference": v - t, "raw_difference": raw, "hadamard": v * t}
        forms |= {"concat": np.concatenate([v, t]), "cosine": np.array([v @ t])}
        return forms[representation], np.linalg.norm(difference)

    whole, _ = one(made.features["embedding"][image], lengths["image"], caption)
    parts = [
        one(made.objects["embedding"][row], made.objects["norm"][row], made.objects["phrase"][row])
        for row, i in enumerate(made.objects["image_id"])
        if i == f"{image:032x}" and made.objects["error"][row] is None
    ]
    if not parts:
        return whole, np.zeros_like(whole)
    parts.sort(key=lambda part: -part[1])
    values, lengths = np.array([value for value, _ in parts]), np.array([n for _, n in parts])
    weights = {
        "mean": np.ones(len(parts)),
        "max_norm": np.arange(len(parts)) < 1,
        "top_k": np.arange(len(parts)) < k,
        "attention": np.exp(lengths / 0.1),
    }[pooling]
    return whole, weights @ values / weights.sum()


@pytest.mark.parametrize("pooling", ["mean", "max_norm", "top_k", "attention"])
@pytest.mark.parametrize(
    "representation", ["unit_difference", "raw_difference", "hadamard", "concat", "cosine"]
)
def test_every_combination_agrees_with_a_computation_by_hand(
    content, store, representation, pooling
):
    if (representation, pooling) == ("unit_difference", "mean"):
        pooling = "top_k"  # the pair itself is read from the cache: see the next test
    made = content()
    experiment = Experiment(train="true", representation=representation, pooling=pooling, top_k=2)
    x = matrices(store(made), IDS, experiment)
    for row, image in enumerate(IMAGES):
        whole, local = by_hand(made, image, representation, pooling, 2)
        assert x["global"][row] == pytest.approx(whole, abs=1e-5)
        assert x["local"][row] == pytest.approx(local, abs=1e-5)
    assert (x["local"][1] == 0).all()
    assert np.array_equal(x["local"][0], x["local"][4])


def test_the_default_is_what_the_features_node_made(content, store):
    made = content()
    x = matrices(store(made), IDS, Experiment(train="true"))
    for name in ("global", "local"):
        cached = made.features[name][IMAGES].astype(np.float16).astype(np.float32)
        cached[1] *= name == "global"  # without objects
        assert np.array_equal(x[name], cached)
        assert x[name].dtype == np.float32


def test_image_text_and_scalars(content, store):
    made = content()
    features = ("image", "text", "scalars")
    x = matrices(store(made), IDS, Experiment(train="true", features=features))
    for row, image in enumerate(IMAGES):
        expected = made.features["embedding"][image]
        assert x["image"][row] == pytest.approx(expected, abs=1e-3)
        text = made.texts[made.captions["caption"][image]]
        assert x["text"][row] == pytest.approx(text, abs=1e-3)
        numbers = [made.features[name][image] or 0 for name in SCALARS]
        numbers.append(float(made.features["distance_local"][image] is not None))
        assert x["scalars"][row] == pytest.approx(numbers, rel=1e-6)
    # no object: not as if it were perfectly aligned
    assert x["scalars"][1, 2:].tolist() == [0, 0, 0, 0]


def test_local_keeps_its_width_when_no_image_has_objects(content, store):
    made = content()
    made.objects["error"] = ["no region"] * len(made.objects["error"])
    for representation, width in (("concat", 16), ("hadamard", 8), ("cosine", 1)):
        experiment = Experiment(train="true", representation=representation)
        x = matrices(store(made), IDS, experiment)
        assert np.array_equal(x["local"], np.zeros((5, width)))


def test_a_phrase_is_looked_up_as_it_was_embedded(content, store):
    made = content()
    made.texts = {
        f"a photo of {t}!" if t.startswith("thing") else t: v for t, v in made.texts.items()
    }
    plain = Experiment(train="true", pooling="max_norm")
    with pytest.raises(UserError, match=r"such as 'thing \d'(?s:.*)phrase_template"):
        matrices(store(made), IDS, plain)
    filled = plain.model_copy(update={"phrase_template": "a photo of {}!"})
    found = matrices(store(made), IDS, filled)
    assert np.array_equal(found["local"], matrices(store(content()), IDS, plain)["local"])


def test_a_length_that_is_not_there_is_an_error(content, store):
    made = content()
    made.features["norm"][5] = None
    raw = Experiment(train="true", representation="raw_difference")
    with pytest.raises(UserError, match=r"'global' of 1 images is not finite(?s:.*)`norm`"):
        matrices(store(made), IDS, raw)
    unit = raw.model_copy(update={"representation": "hadamard"})
    assert np.isfinite(matrices(store(made), IDS, unit)["global"]).all()
