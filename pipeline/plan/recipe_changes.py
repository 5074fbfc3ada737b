"""Why two recipes of a stage differ, in words."""

from collections.abc import Mapping, Sequence
from typing import Any


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed from one recipe to another beside inputs: version, parameters, models."""
    reasons = []
    if before.get("version") != now["version"]:
        reasons.append(f"stage version {before.get('version')} -> {now['version']}")
    if before.get("source") != now.get("source"):
        reasons.append("the plugin's source")
    reasons += _changed(before.get("parameters", {}), now["parameters"])
    if before.get("models") != now["models"]:
        reasons.append(_models(before.get("models") or [], now["models"]))
    return reasons


def _models(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """Says it when a model is the same but for its revision, which is what a lock decides."""
    for old, new in zip(before, now, strict=False):
        names = [{k: v for k, v in model.items() if k != "revision"} for model in (old, new)]
        if names[0] == names[1] and old != new:
            name = new.get("hub") or f"{new.get('open_clip')}:{new.get('pretrained')}"
            return (
                f"revision of {name} {_short(old.get('revision'))} -> "
                f"{_short(new.get('revision'))} (another lock, or none)"
            )
    return "another model"


def _short(revision: str | None) -> str:
    return revision[:12] if revision else "not pinned"


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _changed(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key} {old} -> {new}")
    return lines
