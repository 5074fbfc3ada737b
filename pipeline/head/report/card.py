"""model_card.md of a run: what a reader of its head must know, from the run's own numbers."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN
from pipeline.head.figures.verdict import files_tell, in_words, of_mean_ap
from pipeline.head.figures.wording import generator_name
from pipeline.output import markdown
from pipeline.store.run_folders import EXPERIMENT, METRICS

_UNKNOWN = """\
The head follows ITEM (arXiv 2511.00427): caption an image, measure in CLIP's space how far image
and caption lie apart (global), and each of its objects and their phrases (local), and classify
these misalignments. What we have of the paper does not say which captioner, parser and CLIP it
uses, how objects are located, what the representation is exactly, how objects are pooled, how large
the head is, and how it is trained. All of these are choices of this run, not the paper's. The
paper's own results are not reproduced here."""
_LIMITS = """\
- It was trained on fakes of the generators that the data's predicate selects, and of others only
  the tables above tell what it does; on pictures unlike the training images nothing is known.
- Threshold, temperature and unsure band were chosen on validation images of training generators.
  On other generators' images they may be worse than none: compare the columns.
- Where the baseline `metadata` is far from chance, file size, shape or format tell reals from fakes
  in this corpus, and a detector may have learned no more than that.
- That fakes align worse with their captions is a hypothesis which the tables test, not a fact."""
_COLUMNS = {
    "ap": "AP",
    "chance": "chance",
    "auroc": "AUROC",
    "fpr95": "FPR at 95 % TPR",
    "accuracy": "accuracy",
    "tnr": "TNR",
    "tpr": "TPR",
    "balanced_accuracy": "balanced",
    "balanced_accuracy_at_threshold": "at threshold",
    "nll": "NLL",
    "nll_scaled": "NLL at T",
    "ece": "ECE",
    "ece_scaled": "ECE at T",
    "share_unsure": "unsure",
    "accuracy_sure": "accuracy of sure",
}


def card(
    about: Mapping[str, Any],
    measured: pa.Table,
    differences: pa.Table,
    curves: pa.Table,
    counts: Mapping[str, tuple[int, int]],
    method: str,
) -> str:
    """The model card, as Markdown.

    `about` is experiment.json, `measured` metrics.parquet, `differences` and `curves` the files of
    these names, `counts` the real and fake images of each side, and `method` the name of the saved
    head in these tables.
    """
    same = pc.equal(measured["variant"], about["config"]["variant"])
    everywhere = measured.filter(pc.equal(measured["method"], method)).to_pylist()
    others = [row for row in everywhere if row["variant"] != about["config"]["variant"]]
    measured = measured.filter(same)
    own = measured.filter(pc.equal(measured["method"], method)).to_pylist()
    sections = {
        f"Model card: {about['experiment']} {about['run_id']}": _what(about, method),
        "What is not known of the method": _UNKNOWN,
        "Data": _data(about, counts),
        "Training": _training(about, curves, method),
        "What was chosen on validation images": f"{_chosen(about, own[0])}\n{_tuned(measured)}",
        "Results of this head": _results(own),
        "Beside the baselines": _beside(measured, differences, about["config"]["bootstrap"]),
        **({"Results of this head on perturbed images": _perturbed(others)} if others else {}),
        "Limits": _LIMITS,
        "Where it came from": _origin(about),
    }
    marks = ("#", *["##"] * (len(sections) - 1))
    return (
        "\n\n".join(
            f"{mark} {title}\n\n{text}"
            for mark, (title, text) in zip(marks, sections.items(), strict=True)
        )
        + "\n"
    )


def _what(about: Mapping[str, Any], method: str) -> str:
    config = about["config"]
    hidden = " - ".join(str(size) for size in config["head"]["hidden"]) or "none (a linear head)"
    variant = (
        "" if config["variant"] == CLEAN else f"- trained on the variant {config['variant']}\n"
    )
    return (
        "A classifier of real and generated images. It reads cached features, not images.\n\n"
        f"- features: {method} (representation {config['representation']}, objects pooled by "
        f"{config['pooling']}; an image without objects has zeros)\n{variant}"
        f"- hidden layers: {hidden}; activation {config['head']['activation']}, "
        f"norm {config['head']['norm'] or 'none'}\n"
        "- output: the logit of being fake, before any temperature"
    )


def _data(about: Mapping[str, Any], counts: Mapping[str, tuple[int, int]]) -> str:
    config = about["config"]
    given = config["validation"]
    where = {
        "train": markdown.code(config["train"]),
        "validation": markdown.code(given) if given else about["sql"]["validation"],
        "test": markdown.code(config["test"]) if config["test"] else "all other labelled images",
    }
    lines = [
        f"- {side}: {real:,} real and {fake:,} fake images; {where[side]}"
        for side, (real, fake) in counts.items()
    ]
    lines += [
        f"- {side if note.startswith('partial') else f'left out of {side}'}: {markdown.text(note)}"
        for side, notes in about["left_out"].items()
        for note in notes
    ]
    if about["overlap"]:
        overlap = ", ".join(markdown.text(name or "(none)") for name in about["overlap"])
        lines.append(f"- `allow_overlap`: other images of {overlap} were trained on and tested")
    return "\n".join(lines)


def _training(about: Mapping[str, Any], curves: pa.Table, method: str) -> str:
    head = about["config"]["head"]
    points = curves.filter(pc.equal(curves["method"], method)).to_pylist()
    best = next(point for point in points if point["best"])
    stop = "no early stopping" if head["patience"] is None else f"patience {head['patience']}"
    return (
        f"AdamW (weight decay {head['weight_decay']}), learning rate {head['learning_rate']:g} "
        f"along a cosine to zero, batches of {head['batch_size']}, dropout {head['dropout']:g}, "
        f"class weights {head['class_weights'] or 'none'}, seed {about['config']['seed']}; "
        f"{len(points)} of at most {head['epochs']} epochs, {stop}. The weights are those of epoch "
        f"{best['epoch']}: training loss {best['train_loss']:.4f}, validation loss "
        f"{best['validation_loss']:.4f}, validation AP {best['validation_ap']:.4f}."
    )


def _tuned(measured: pa.Table) -> str:
    rows = {row["method"]: row["tuned"] for row in measured.to_pylist() if row["tuned"]}
    return "- of all methods: " + "; ".join(f"{name} {what}" for name, what in rows.items())


def _chosen(about: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    low, high = row["unsure_low"], row["unsure_high"]
    real = "no verdict `real` is sure" if low is None else f"sure of real below {low:.4f}"
    fake = "no verdict `fake` is sure" if high is None else f"sure of fake from {high:.4f} on"
    return (
        f"- threshold {row['threshold']:.4f} (best balanced accuracy)\n"
        f"- temperature {row['temperature']:.4f} (least NLL)\n"
        f"- unsure band, so that {about['config']['sure_at']:.0%} of the sure verdicts on images "
        f"like these are expected to be right: {real}; {fake}"
    )


def _results(rows: list[dict[str, Any]]) -> str:
    lines = [["generator", *_COLUMNS.values(), "images"]]
    for row in rows:
        lines.append(
            [generator_name(row), *(_digits(row[column]) for column in _COLUMNS), f"{row['n']:,}"]
        )
    return _markdown(lines)


def _perturbed(rows: list[dict[str, Any]]) -> str:
    """Of the mean over the unseen, or of each generator where there is none."""
    if any(row["scope"] == "mean" for row in rows):
        rows = [row for row in rows if row["scope"] == "mean"]
    figures = {"ap": "AP", "ap_less_clean": "less clean", "accuracy": "accuracy"}
    figures |= {"accuracy_less_clean": "less clean", "tnr": "TNR", "tpr": "TPR"}
    lines = [["variant", "generator", *figures.values()]]
    lines += [
        [row["variant"], generator_name(row), *(_digits(row[f]) for f in figures)] for row in rows
    ]
    return _markdown(lines)


def _beside(measured: pa.Table, differences: pa.Table, resamples: int) -> str:
    """AP of each method on seen generators and in the mean over the unseen, with intervals."""
    lines: dict[str, dict[str, str]] = {}
    for row in measured.to_pylist():
        if row["scope"] == "mean" or row["seen"]:
            mean = f"mean of {row['generators']} unseen"
            name = mean if row["scope"] == "mean" else f"{row['generator'] or '(none)'} (seen)"
            ends = ""
            if row["ap_low"] is not None:
                ends = f" [{row['ap_low']:.3f}, {row['ap_high']:.3f}]"
            lines.setdefault(row["method"], {})[name] = f"{_digits(row['ap'])}{ends}"
    if not lines:
        return f"No generator was seen in training, and there is no mean: see {METRICS}."
    names = list(next(iter(lines.values())))
    header = ["AP", *names]
    table = _markdown([header, *([method, *found.values()] for method, found in lines.items())])
    rows = measured.to_pylist()
    said = in_words([of_mean_ap(differences, rows[0]["variant"])], resamples)
    return "\n\n".join(filter(None, [table, *said, files_tell(rows)]))


def _origin(about: Mapping[str, Any]) -> str:
    nodes = "\n".join(
        f"- `{node}`: {fingerprint}" for node, fingerprint in about["fingerprints"].items()
    )
    libraries = ", ".join(f"{name} {number}" for name, number in about["libraries"].items())
    made_by = "; and others by ".join(about["made_by"]) or "libraries that are not known"
    return (
        f"Features from the store's nodes of these fingerprints:\n\n{nodes or '- none given'}\n\n"
        f"They were made by {made_by}. This head was trained and tested by {libraries}. The whole "
        f"configuration and the SQL are in {EXPERIMENT}, all figures in {METRICS}."
    )


def _markdown(lines: list[list[str]]) -> str:
    return markdown.table(lines[0], lines[1:])


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
