"""What a study is: its parameters, and from them its steps, before anything is done.

A step makes one product from one parent. Products are named by their path inside the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, get_args

from ptystore.errors import ParameterError
from ptystore.model.choices import SplitAxis, SplitPart
from ptystore.model.contract import RECORD_NAMES
from ptystore.model.dataset import Dataset
from ptystore.physics.spacing import VIEW_OVERLAP, require_neighbors
from ptystore.transforms.canonicalize import canonicalize
from ptystore.transforms.patches import extract_patches
from ptystore.transforms.simulate import simulate
from ptystore.transforms.split import split
from ptystore.transforms.view import select_view

__all__ = ["BASE", "SPLITS", "Step", "StudyPlan", "make_plan"]

SPLITS: Final = get_args(SplitPart)

#: Stands for the base file where a step names its parent.
BASE: Final = "BASE"

_SIMULATE, _CANONICALIZE, _PATCH, _SPLIT, _VIEW = (
    RECORD_NAMES[verb] for verb in ("simulate", "canonicalize", "patch", "split", "view")
)


@dataclass(frozen=True)
class Step:
    """One product: `build` makes it, lazily, from the scan in `parent`.

    `verb`, `outputs` and `options` are the command line that does the same. `records` are the
    (tool, operation) pairs that the product's history must hold.
    """

    name: str
    product: str
    parent: str
    build: Callable[[Dataset], Dataset]
    records: tuple[tuple[str, str], ...]
    verb: str
    options: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """Every parameter and seed of a study. Photons for doses, object pixels for sizes.

    `base_digest` is the content digest of the base file, `base_metadata` the BLAKE3 of its
    metadata document, None where it has none.
    """

    base_digest: str
    base_metadata: str | None
    doses: tuple[float, ...]
    views: tuple[str, ...]
    splits: tuple[str, ...]
    patch_size: tuple[int, int]
    k_neighbors: int
    seed: int
    axis: SplitAxis
    fraction: float

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        document = asdict(self)
        document["views"] = {name: VIEW_OVERLAP[name] for name in self.views}
        plain = {name: list(value) for name, value in document.items() if isinstance(value, tuple)}
        return {**document, **plain}

    def phase_c(self, dose: float) -> list[Step]:
        """Simulate, canonicalize, patch, split: each product the parent of the next."""
        folder = f"data/phase_c/{dose_name(dose)}"
        simulated, canonical, patched = (
            f"{folder}/{name}.zarr" for name in ("simulated", "canonical", "patched")
        )
        seed, size = str(self.seed), self.patch_size
        neighbors = str(self.k_neighbors)
        steps = [
            Step(
                "simulate",
                simulated,
                BASE,
                partial(simulate, dose=dose, seed=self.seed),
                (_SIMULATE,),
                "simulate",
                ("--dose", number(dose), "--seed", seed),
            ),
            Step(
                "canonicalize",
                canonical,
                simulated,
                canonicalize,
                (_SIMULATE, _CANONICALIZE),
                "canonicalize",
            ),
            Step(
                "patch",
                patched,
                canonical,
                partial(
                    extract_patches,
                    size=size[0] if size[0] == size[1] else None,
                    k_neighbors=self.k_neighbors,
                ),
                (_SIMULATE, _CANONICALIZE, _PATCH),
                "patch",
                ("--k-neighbors", neighbors),
            ),
        ]
        parts = tuple(f"{folder}/{part}.zarr" for part in SPLITS)
        for part in self.splits:
            cut = Step(
                f"split {part}",
                f"{folder}/{part}.zarr",
                patched,
                partial(_one_part, part=part, axis=self.axis, fraction=self.fraction),
                (*steps[2].records, _SPLIT),
                "split",
                ("--axis", self.axis, "--fraction", str(self.fraction)),
                parts,
            )
            steps += [cut, _as_npz(cut)]
        return steps

    def phase_d(self, dose: float, view: str) -> list[Step]:
        """The view of each split, as a store and as an NPZ."""
        steps = []
        for part in self.splits:
            chosen = Step(
                f"view {view} {part}",
                f"{view_folder(dose, view)}/{part}.zarr",
                f"data/phase_c/{dose_name(dose)}/{part}.zarr",
                partial(select_view, name=view),
                (_SIMULATE, _CANONICALIZE, _PATCH, _SPLIT, _VIEW),
                "view",
                ("--view", view),
            )
            steps += [chosen, _as_npz(chosen)]
        return steps


def make_plan(
    base: Dataset,
    base_digest: str,
    base_metadata: str | None,
    *,
    doses: Sequence[float],
    views: Sequence[str],
    splits: Sequence[str],
    patch_size: int | None,
    k_neighbors: int,
    seed: int,
    axis: SplitAxis,
    fraction: float,
) -> StudyPlan:
    """The plan of a study of `base`, once all that can be known of it now has been checked.

    Raises `ParameterError` for a list that is empty or names something twice, an unknown view
    or split, patches that are no frames' size, too few neighbours; `InputError` for a base
    that can't be simulated from. Whatever the transforms refuse is refused now.
    """
    for what, given, known in (
        ("dose", [number(dose) for dose in doses], None),
        ("view", list(views), tuple(VIEW_OVERLAP)),
        ("split", list(splits), SPLITS),
    ):
        if not given:
            raise ParameterError(f"a study needs at least one {what}")
        for name in given:
            if known is not None and name not in known:
                raise ParameterError(f"a {what} is {' or '.join(known)}, not {name!r}")
            if given.count(name) > 1:
                raise ParameterError(f"the {what} {name} is asked for twice")
    gridsize = base.metadata.gridsize if base.metadata is not None else 1
    require_neighbors(k_neighbors, gridsize)
    frames = simulate(base, dose=doses[0], seed=seed)["diffraction"].shape
    window = (frames[1], frames[2])
    if patch_size is not None and (patch_size, patch_size) != window:
        raise ParameterError(
            f"patches of {patch_size} pixels do not fit frames of {window[0]}×{window[1]}",
            advice="leave out the patch size: it is the probe's",
        )
    plan = StudyPlan(
        base_digest=base_digest,
        base_metadata=base_metadata,
        doses=tuple(doses),
        views=tuple(views),
        splits=tuple(splits),
        patch_size=window,
        k_neighbors=k_neighbors,
        seed=seed,
        axis=axis,
        fraction=fraction,
    )
    for dose in doses:
        simulate(base, dose=dose, seed=seed)
    split(base, axis=axis, fraction=fraction)
    return plan


def number(value: float) -> str:
    """A dose as people write it: 1000, not 1000.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def dose_name(dose: float) -> str:
    """The folder of a dose: dose_1000."""
    return f"dose_{number(dose)}"


def view_folder(dose: float, view: str) -> str:
    """The folder of a view, inside the hub."""
    return f"data/phase_d/{dose_name(dose)}/{view}"


def _one_part(dataset: Dataset, *, part: str, axis: SplitAxis, fraction: float) -> Dataset:
    return split(dataset, axis=axis, fraction=fraction)[SPLITS.index(part)]


def _as_npz(step: Step) -> Step:
    """The same scan as `step` makes, for readers of NPZ."""
    product = step.product.removesuffix(".zarr") + ".npz"
    name = f"{step.name} npz"
    return Step(name, product, step.product, _unchanged, step.records, "export")


def _unchanged(dataset: Dataset) -> Dataset:
    return dataset
