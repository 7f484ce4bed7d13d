"""The dose and overlap study: from one reconstruction to split, overlap-graded datasets.

Phase C simulates, canonicalizes, patches, splits and validates, for each dose; phase D takes
the views of each split and measures their overlap. Everything lies in one folder, the hub. A
run that failed or was interrupted is continued by running it again: products that verify, and
whose history is the one that the plan asks for, are used again.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ptystore import api
from ptystore.errors import IntegrityError, PtystoreError
from ptystore.model.anonymity import wants_anonymity
from ptystore.model.choices import SplitAxis
from ptystore.model.content_digest import bytes_digest
from ptystore.model.dataset import Dataset
from ptystore.model.results import Product, StudyReport
from ptystore.physics.spacing import VIEW_OVERLAP
from ptystore.study.hub import BLOCKER, MANIFEST, SUMMARY, TODO, Hub, StepLog, now
from ptystore.study.plan import BASE, SPLITS, Step, StudyPlan, dose_name, make_plan, view_folder
from ptystore.study.report import earlier_seconds, mean_photons, summary, todo
from ptystore.survey.overlap import measure_overlap
from ptystore.survey.problems import find_problems
from ptystore.transfer.options import DEFAULT_MAX_MEMORY
from ptystore.transforms.anonymize import anonymized
from ptystore.version import software

__all__ = ["run_study"]

Log = Callable[[str], None]


def run_study(
    hub: str | os.PathLike[str],
    base: str | os.PathLike[str],
    *,
    doses: Sequence[float],
    views: Sequence[str] = tuple(VIEW_OVERLAP),
    splits: Sequence[str] = SPLITS,
    patch_size: int | None = None,
    k_neighbors: int = 7,
    seed: int = 42,
    axis: SplitAxis = "y",
    fraction: float = 0.5,
    overwrite_hub: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
    anonymous: bool | None = None,
    log: Log | None = None,
) -> StudyReport:
    """Run, or continue, the study of `base` in the folder `hub`, and write nowhere else.

    Parameters
    ----------
    base : a scan with probeGuess, objectGuess and positions; frames, if any, are replaced.
    doses : photons a frame, on average, each a data set of its own.
    views : "dense" (overlap 0.7) and "sparse" (0.2).
    splits : "train" and "test".
    patch_size : only to state it: it must be the probe's.
    seed : of the Poisson noise, the same for every dose.
    axis, fraction : where train and test are divided.
    overwrite_hub : move what an earlier study left in the hub to its archive.
    anonymous : as for `write`, of products, logs and summary.
    log : called with every line that goes into the hub's logs.

    Raises what the failing step raises, a `PtystoreError` whose `exit_code` is the step's, once
    `analysis/blocker.log` says which; all that was finished stays. Before anything is written:
    `ParameterError`, `InputError`, and `DestinationError` where the hub holds another plan.
    """
    began = time.monotonic()
    path = Path(base)
    scan = api.open(path)
    digest = (scan.source.digest if scan.source else None) or api.digest(scan, jobs=jobs).whole
    document = scan.metadata.to_json().encode() if scan.metadata else None
    plan = make_plan(
        scan,
        digest,
        None if document is None else bytes_digest(document),
        doses=doses,
        views=views,
        splits=splits,
        patch_size=patch_size,
        k_neighbors=k_neighbors,
        seed=seed,
        axis=axis,
        fraction=fraction,
    )
    nameless = wants_anonymity(anonymous)
    folder = Hub(Path(hub), nameless)
    with folder.opened(path):
        notes = {"created": now(), "software": software(), "base": path.name}
        folder.adopt(plan.to_dict(), notes, overwrite_hub)
        echo = log or (lambda line: None)
        run = _Run(folder, plan, path, digest, jobs, max_memory, nameless, echo)
        run.everything()
    seconds = time.monotonic() - began
    return StudyReport(
        hub=folder.root,
        products=tuple(run.products.values()),
        reused=tuple(run.reused),
        seconds=seconds,
    )


class _Run:
    """One run of a plan in a hub."""

    def __init__(
        self,
        hub: Hub,
        plan: StudyPlan,
        base: Path,
        base_digest: str,
        jobs: int | None,
        max_memory: int,
        anonymous: bool,
        echo: Log,
    ) -> None:
        self._hub = hub
        self._plan = plan
        self._base = base
        self._base_digest = base_digest
        self._jobs = jobs
        self._max_memory = max_memory
        self._anonymous = anonymous
        self._echo = echo
        self._seconds = earlier_seconds(hub.read_json(MANIFEST))
        self.products: dict[str, Product] = {}
        self.reused: list[str] = []

    def everything(self) -> None:
        """Phase C for every dose, then phase D, then the reports."""
        if os.path.lexists(self._hub.root / BLOCKER):
            self._hub.archive(BLOCKER)
        for dose in self._plan.doses:
            log = self._log(f"phase_c_{dose_name(dose)}")
            for step in self._plan.phase_c(dose):
                self._make(step, log)
            self._validate(dose, log)
        for dose in self._plan.doses:
            for view in self._plan.views:
                log = self._log(f"phase_d_{dose_name(dose)}_{view}")
                self._require_records(dose, log)
                for step in self._plan.phase_d(dose, view):
                    self._make(step, log)
                self._measure(dose, view, log)
        self._report(log)

    def _log(self, name: str) -> StepLog:
        log = StepLog(self._hub, name, self._echo)
        log(f"begin {name}, {software()}")
        return log

    @contextmanager
    def _step(self, name: str, command: Sequence[str], log: Log) -> Iterator[None]:
        """A step in the log; if it fails, in the blocker too, before the error goes on."""
        text = shlex.join(command)
        try:
            log(f"{name}: {text}")
            yield
        except Exception as error:
            # The step's error matters more than that a full disk can't take the blocker.
            with suppress(PtystoreError):
                self._hub.write_text(BLOCKER, self._hub.text(_blocker(name, text, error)))
                log(f"{name}: failed: {error}")
            raise

    def _make(self, step: Step, log: Log) -> None:
        """One product: the one that is there if it verifies, else a new one."""
        path = self._path(step.product)
        outputs = step.outputs or (step.product,)
        command = ["ptystore", step.verb, self._name(step.parent), *outputs, *step.options]
        with self._step(step.name, command, log):
            began = time.monotonic()
            self._hub.make_way(step.product, lambda line: log(f"{step.name}: warning: {line}"))
            parent = self._open(step.parent)
            built = step.build(anonymized(parent) if self._anonymous else parent)
            parents = ((self._name(step.parent), _digest(parent)),)
            fault = self._fault(step, built, parent)
            if fault is None:
                self.reused.append(step.product)
                seconds = self._seconds.get(step.product, 0.0)
                done = f"reused, verified in {time.monotonic() - began:.2f} s"
            else:
                if os.path.lexists(path):
                    moved = self._hub.archive(step.product)
                    log(f"{step.name}: {step.product} {fault}; moved to {moved}")
                api.write(
                    built,
                    path,
                    jobs=self._jobs,
                    max_memory=self._max_memory,
                    anonymous=self._anonymous,
                    warn=lambda line: log(f"{step.name}: warning: {line}"),
                )
                seconds = time.monotonic() - began
                done = f"done in {seconds:.2f} s"
            made = self._open(step.product)
            if step.verb == "export" and _digest(made) != _digest(parent):
                raise IntegrityError("does not hold what its store holds", file=path)
            self._register(
                step.product, step.name, _digest(made), parents, made.frame_count, seconds
            )
            log(f"{step.name}: {done}, {made.frame_count} frames, digest {_digest(made)}")

    def _fault(self, step: Step, built: Dataset, parent: Dataset) -> str | None:
        """Why the product that is there can not be used again, None where it can."""
        path = self._path(step.product)
        if not os.path.lexists(path):
            return "is missing"
        if self._hub.is_link(step.product):
            return "is a link"
        try:
            report = api.verify(path, jobs=self._jobs)
            found = api.open(path)
        except PtystoreError as error:
            return error.reason
        if report.damage:
            return f"is damaged: {report.damage[0]}"
        if report.recorded < len(found) or found.source is None or found.source.digest is None:
            return "does not record its digests"
        if _lineage(found) != _lineage(built) or _forms(found) != _forms(built):
            return "was made in another way"
        if step.verb == "export" and found.source.digest != _digest(parent):
            return "does not hold what its store holds"
        return None

    def _validate(self, dose: float, log: Log) -> None:
        """The checks of the contract, on every split."""
        for part in self._plan.splits:
            product = f"data/phase_c/{dose_name(dose)}/{part}.zarr"
            path, neighbors = self._path(product), self._plan.k_neighbors
            command = ["ptystore", "validate", product, "--k-neighbors", str(neighbors)]
            with self._step(f"validate {part}", command, log):
                problems = find_problems(api.open(path), k_neighbors=neighbors)
                for problem in problems:
                    log(f"validate {part}: {problem}")
                # Windows that reach outside the object hold zeros there: a warning, no fault.
                faults = [problem for problem in problems if problem.kind != "position"]
                if faults:
                    others = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                    raise PtystoreError(f"is no valid scan: {faults[0]}{others}", file=path)
                log(f"validate {part}: valid")

    def _require_records(self, dose: float, log: Log) -> None:
        """Before phase D: every product of phase C says what was done to it."""
        with self._step(
            "check phase C",
            ["ptystore", "history", self._plan.phase_c(dose)[-1].product],
            log,
        ):
            for step in self._plan.phase_c(dose):
                metadata = self._open(step.product).metadata
                history = metadata.history if metadata is not None else []
                done = {(record.get("tool"), record.get("operation")) for record in history}
                missing = [
                    f"{tool}/{what}" for tool, what in step.records if (tool, what) not in done
                ]
                if missing:
                    raise PtystoreError(
                        f"its metadata have no record of {', '.join(missing)}",
                        file=self._path(step.product),
                    )

    def _measure(self, dose: float, view: str, log: Log) -> None:
        """The overlap metrics of a view, in metrics.json."""
        folder = view_folder(dose, view)
        product = f"{folder}/metrics.json"
        stores = {part: f"{folder}/{part}.zarr" for part in self._plan.splits}
        first = next(iter(stores.values()))
        with self._step(f"metrics {view}", ["ptystore", "info", first, "--overlap"], log):
            began = time.monotonic()
            measured = {
                part: {
                    "product": store,
                    "digest": self.products[store].digest,
                    **measure_overlap(self._open(store)).to_dict(),
                }
                for part, store in stores.items()
            }
            overlap = VIEW_OVERLAP[view]
            document = {"dose": dose, "view": view, "overlap": overlap, "splits": measured}
            if self._hub.read_json(product) == document:
                self.reused.append(product)
            else:
                self._hub.write_json(product, document)
            digest = bytes_digest(self._hub.read(product))
            parents = tuple((store, self.products[store].digest) for store in stores.values())
            seconds = time.monotonic() - began
            self._register(product, f"metrics {view}", digest, parents, None, seconds)
            log(f"metrics {view}: done in {seconds:.2f} s")

    def _report(self, log: Log) -> None:
        with self._step("summary", ["ptystore", "study", "."], log):
            views = [(dose, view) for dose in self._plan.doses for view in self._plan.views]
            metrics = [
                self._hub.read_json(f"{view_folder(dose, view)}/metrics.json")
                for dose, view in views
            ]
            photons = {
                dose: mean_photons(self._open(self._plan.phase_c(dose)[0].product))
                for dose in self._plan.doses
            }
            last = self._plan.phase_d(*views[-1])[-1].product
            scan = self._open(last)
            history = scan.metadata.history if scan.metadata is not None else []
            products = list(self.products.values())
            text = summary(self._plan, self._base.name, products, metrics, photons, last, history)
            self._hub.write_text(TODO, todo(self._plan))
            self._hub.write_text(SUMMARY, text)
            log(f"summary: {SUMMARY}")

    def _register(
        self,
        product: str,
        step: str,
        digest: str,
        parents: tuple[tuple[str, str], ...],
        frames: int | None,
        seconds: float,
    ) -> None:
        """Put a product into the manifest, which is always that of what is finished."""
        size = self._hub.size(product)
        made = Product(
            path=product,
            step=step,
            digest=digest,
            parents=parents,
            frames=frames,
            bytes_on_disk=size,
            seconds=round(seconds, 3),
        )
        self.products[product] = made
        self._hub.write_json(
            MANIFEST,
            {
                "format": 1,
                "software": software(),
                "updated": now(),
                "base": {"path": self._base.name, "digest": self._base_digest},
                "products": [product.to_dict() for product in self.products.values()],
            },
        )

    def _path(self, product: str) -> Path:
        return self._base if product == BASE else self._hub.root / product

    def _name(self, product: str) -> str:
        return self._base.name if product == BASE else product

    def _open(self, product: str) -> Dataset:
        dataset = api.open(self._path(product))
        if product == BASE and dataset.source is not None:
            source = dataclasses.replace(dataset.source, digest=self._base_digest)
            return dataclasses.replace(dataset, source=source)
        return dataset


def _digest(dataset: Dataset) -> str:
    """The digest that a product records of itself; the base's was computed."""
    if dataset.source is None or dataset.source.digest is None:
        raise IntegrityError("does not record its content digest", file=dataset.file)
    return dataset.source.digest


def _lineage(dataset: Dataset) -> list[Any]:
    """The history without what differs from run to run."""
    history = dataset.metadata.history if dataset.metadata is not None else []
    keys = ("tool", "operation", "parameters", "inputs")
    return [[record.get(key) for key in keys] for record in history]


def _forms(dataset: Dataset) -> dict[str, Any]:
    return {field.name: (field.shape, field.dtype, field.role) for field in dataset.values()}


def _blocker(step: str, command: str, error: Exception) -> str:
    lines = [f"time: {now()}", f"step: {step}", f"command: {command}"]
    lines.append(f"error: {type(error).__name__}: {error}")
    if isinstance(error, PtystoreError):
        lines += [f"advice: {error.advice}"] if error.advice else []
        lines.append(f"exit code: {error.exit_code}")
    else:
        lines += ["", *traceback.format_exception(error)]
    return "\n".join(lines) + "\n"
