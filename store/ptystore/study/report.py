"""The documents that a study ends with: its summary, and what is left to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ptystore.model.dataset import Dataset
from ptystore.model.layout import plan as plan_layout
from ptystore.model.results import Product
from ptystore.study.plan import StudyPlan, dose_name, number, view_folder
from ptystore.survey.overlap import WIDE_DIAMETER

__all__ = ["earlier_seconds", "mean_photons", "summary", "todo"]


def earlier_seconds(manifest: Mapping[str, Any]) -> dict[str, float]:
    """How long each product took to make, by an earlier run's manifest; {} where it is odd."""
    try:
        return {str(product["path"]): float(product["seconds"]) for product in manifest["products"]}
    except (KeyError, TypeError, ValueError):
        return {}


def mean_photons(dataset: Dataset) -> float:
    """Mean over frames of ``Σ (s·A_obs)²``: the photons that a simulated scan really has."""
    frames = dataset.frames
    scale = float(frames.attrs["amplitude_scale"])
    layout = plan_layout(frames.shape, frames.dtype.itemsize)
    total = 0.0
    for start, stop in layout.blocks(0, layout.rows):
        block = frames.array.read(start, stop).astype(np.float64)
        total += float(np.square(block).sum())
    return total * scale**2 / layout.rows


def summary(
    plan: StudyPlan,
    base: str,
    products: Sequence[Product],
    metrics: Sequence[Mapping[str, Any]],
    photons: Mapping[float, float],
    example: str,
    history: Sequence[Mapping[str, Any]],
) -> str:
    """The summary, Markdown. `metrics` are the documents of all views, `history` that of the
    product `example`."""
    sections = [
        "# Dose and overlap study",
        _parameters(plan, base),
        "## Dose\n\nPhotons a frame: the mean of Σ (s·A)² over all simulated frames.\n\n"
        + _table(
            ["dose", "photons a frame"],
            [[number(dose), f"{found:.3f}"] for dose, found in photons.items()],
        ),
        "## Products\n\n" + _products(products),
        "## Overlap\n\n" + _overlap(metrics),
        f"## History of `{example}`\n\n" + _history(history),
    ]
    return "\n\n".join(sections) + "\n"


def _parameters(plan: StudyPlan, base: str) -> str:
    size = "×".join(str(pixels) for pixels in plan.patch_size)
    return _table(
        ["parameter", "value"],
        [
            ["base", f"`{base}`, digest `{plan.base_digest}`"],
            ["doses", ", ".join(number(dose) for dose in plan.doses) + " photons a frame"],
            ["views", ", ".join(plan.views)],
            ["splits", f"{', '.join(plan.splits)}, along {plan.axis} at {plan.fraction:g}"],
            ["patches", f"{size} pixels"],
            ["neighbours", str(plan.k_neighbors)],
            ["seed", str(plan.seed)],
        ],
    )


def _products(products: Sequence[Product]) -> str:
    rows = [
        [
            f"`{product.path}`",
            "–" if product.frames is None else str(product.frames),
            str(product.bytes_on_disk),
            f"{product.seconds:.2f}",
            f"`{product.digest}`",
        ]
        for product in products
    ]
    seconds = sum(product.seconds for product in products)
    note = f"\n\nTogether {seconds:.2f} s, to make them; the logs in `cli/` tell step by step."
    return _table(["product", "frames", "bytes", "seconds", "digest"], rows) + note


def _overlap(metrics: Sequence[Mapping[str, Any]]) -> str:
    rows: list[list[str]] = []
    notes: list[str] = []
    for document in metrics:
        for part, split in document["splits"].items():
            where = [number(document["dose"]), document["view"], part]
            row = [*where, str(split["metrics"]["frames"]), f"{split['spacing']:g}"]
            rows.append(row + _figures(split["metrics"], split["diameter_from"]))
            title = f"Dose {where[0]}, {where[1]} {where[2]}: "
            notes += _reasons(title, split["metrics"])
            if split["wide"] is not None:
                wide = f"{WIDE_DIAMETER:g} · {split['frame_width']}"
                rows.append(row + _figures(split["wide"], wide))
                notes.append(title + _too_small(split))
    head = ["dose", "view", "split", "frames", "spacing", "D", "D from"]
    text = _table([*head, "metric 1", "metric 2", "metric 3"], rows)
    text += (
        "\n\nLengths are object pixels. Metric 1: over groups of a frame and its 3 nearest, the "
        "mean overlap of the frame with them. Metric 2: over unique positions, the mean overlap "
        "with the 6 nearest. Metric 3: over groups, the mean overlap with every group whose "
        "centre of mass is nearer than D."
    )
    return text + "\n\n" * bool(notes) + "\n".join(f"- {note}" for note in notes)


def _figures(metrics: Mapping[str, Any], diameter_from: str) -> list[str]:
    values = [metrics[f"metric{k}"] for k in (1, 2, 3)]
    shown = ["–" if value is None else f"{value:.6f}" for value in values]
    return [f"{metrics['diameter']:.6g}", diameter_from, *shown]


def _reasons(title: str, metrics: Mapping[str, Any]) -> list[str]:
    return [
        f"{title}{name.replace('metric', 'metric ')} has no value ({reason})."
        for name, reason in metrics["reasons"].items()
    ]


def _too_small(split: Mapping[str, Any]) -> str:
    """Why a discs' diameter below the spacing says little, and whether the wide one does."""
    text = (
        f"D is smaller than the spacing of {split['spacing']:g}, so metrics 1 and 2 are 0 by "
        f"construction; metric 3, of centres of mass, need not be. The figures with "
        f"D = {WIDE_DIAMETER:g} · N are given as well"
    )
    if split["wide"]["diameter"] <= split["spacing"]:
        text += ", but that D is no larger than the spacing either"
    return text + "."


def _history(history: Sequence[Mapping[str, Any]]) -> str:
    """A record of another tool may lack anything, or have something else in its place."""
    lines = []
    for k, record in enumerate(history, start=1):
        parameters, sources = record.get("parameters"), record.get("inputs")
        parameters = parameters if isinstance(parameters, Mapping) else {}
        sources = sources if isinstance(sources, list) else []
        given = ", ".join(f"{name} {value}" for name, value in parameters.items())
        named = [each for each in sources if isinstance(each, Mapping)]
        inputs = ", ".join(f"{each.get('file')} ({each.get('digest')})" for each in named)
        tool, operation, when = (record.get(key) for key in ("tool", "operation", "timestamp"))
        what = f"{k}. `{tool}` {operation}, {when}"
        lines.append(f"{what}\n   - parameters: {given}\n   - inputs: {inputs}")
    return "\n".join(lines)


def todo(plan: StudyPlan) -> str:
    """What training, reconstruction and comparison still have to do, with the paths."""
    lines = ["# What is left to do", "", "Paths are relative to this study's folder."]
    for dose in plan.doses:
        for view in plan.views:
            folder = view_folder(dose, view)
            lines += ["", f"## Dose {number(dose)}, {view}", ""]
            if "train" in plan.splits:
                lines.append(f"- [ ] Training, on `{folder}/train.npz`.")
            if "test" in plan.splits:
                lines.append(f"- [ ] Reconstruction, of `{folder}/test.npz`.")
            truth = f"data/phase_c/{dose_name(dose)}/patched.zarr"
            lines.append(
                f"- [ ] Comparison with the true object, `objectGuess` of `{truth}`; the "
                f"overlaps to compare against are in `{folder}/metrics.json`."
            )
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
