import gc
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pipeline import models
from pipeline.errors import UserError


@dataclass(frozen=True)
class _Spec:
    """Stands for a model whose files lie in `content`."""

    name: str
    precision: str = "fp32"

    def identity(self):
        return {"local": CONTENT[self.name]}

    def load(self):
        LOADED.append(self.name)
        if self.name == "moving":
            CONTENT["moving"] += "!"
        return object()


CONTENT: dict[str, str] = {}
LOADED: list[str] = []


@pytest.fixture(autouse=True)
def _fresh():
    CONTENT.clear()
    CONTENT.update(a="1", b="2", moving="3")
    LOADED.clear()
    yield
    for spec in [known for known in models._loaded if isinstance(known, _Spec)]:
        del models._loaded[spec]


def test_a_model_is_loaded_once():
    assert models.get(_Spec("a")) is models.get(_Spec("a"))
    assert models.get(_Spec("b")) is not models.get(_Spec("a"))
    assert LOADED == ["a", "b"]


def test_other_settings_are_another_model():
    assert models.get(_Spec("a")) is not models.get(_Spec("a", "bf16"))


def test_new_files_under_the_old_name_are_loaded_again():
    old = models.get(_Spec("a"))
    CONTENT["a"] = "changed"
    assert models.get(_Spec("a")) is not old
    assert LOADED == ["a", "a"]


def test_a_model_that_changes_while_it_loads_is_an_error():
    with pytest.raises(UserError, match="changed while it was being loaded"):
        models.get(_Spec("moving"))


@pytest.mark.parametrize("collects", [True, False])
def test_what_a_model_brings_is_not_gone_through_for_garbage(monkeypatch, collects):
    during = []
    monkeypatch.setattr(_Spec, "load", lambda spec: during.append(gc.isenabled()) or object())
    monkeypatch.setattr(models, "_loaded", {})
    (gc.enable if collects else gc.disable)()
    try:
        gc.unfreeze()
        models.get(_Spec("a"))
        assert (during, gc.isenabled()) == ([False], collects)
        assert gc.get_freeze_count() > 0
        models.forget()
        assert gc.get_freeze_count() == 0
        models.get(_Spec("a"))
        CONTENT["a"] = "changed"
        monkeypatch.setattr(_Spec, "load", lambda spec: during.append(gc.get_freeze_count()))
        models.get(_Spec("a"))
        assert during[-1] == 0  # what the old one held can be found
    finally:
        gc.freeze()  # as tests/conftest.py left it
        gc.enable()


def test_a_model_that_cannot_be_loaded_leaves_garbage_to_be_found(monkeypatch):
    monkeypatch.setattr(_Spec, "load", lambda spec: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        models.get(_Spec("a"))
    assert gc.isenabled()


def test_specs_identify_without_importing_any_framework(clip_folder, captioner_folder):
    """A plan must cost nothing: no torch, open_clip or transformers for an identity."""
    code = (
        "import sys\n"
        "from pipeline.models.captioners.captioner import CaptionerSpec\n"
        "from pipeline.models.clip.clip import ClipSpec\n"
        "from pipeline.stages.registry import MODULES, get_stage\n"
        f"ClipSpec(model='local-dir:{clip_folder}').identity()\n"
        f"CaptionerSpec(model='{captioner_folder}').identity()\n"
        "[get_stage(name) for name in MODULES]\n"
        "print(sorted({'torch', 'open_clip', 'transformers', 'spacy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.strip() == "[]", done.stderr
