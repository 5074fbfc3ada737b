from importlib.metadata import version

from pipeline.store.provenance import differences, libraries


def test_it_names_what_may_shape_a_row_and_imports_nothing():
    text = libraries()
    assert text.startswith("item ")
    for name in ("torch", "transformers", "open_clip_torch", "spacy", "pillow", "pyarrow"):
        assert f"{name} {version(name)}" in text


def test_differences_name_the_libraries_that_differ():
    one = "item 0.1.0, torch 2.4, pillow 11.3.0"
    assert differences([one, one]) == differences([]) == differences([""]) == ""
    other = "item 0.1.0, torch 2.4, pillow 12.0.0"
    assert differences([one, other]) == "pillow 11.3.0 and 12.0.0"
    assert differences([one, other.replace("2.4", "2.5")]) == (
        "torch 2.4 and 2.5, pillow 11.3.0 and 12.0.0"
    )
