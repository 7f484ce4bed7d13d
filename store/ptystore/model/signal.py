"""What the values of frames mean, as dtype, attributes and metadata document say it.

The document travels with every rewrite of a scan, attributes don't: so it must say by itself
what decides the meaning of values, the signal and the scale of simulated counts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from ptystore.errors import InputError
from ptystore.model.choices import Signal
from ptystore.model.contract import RECORD_NAMES
from ptystore.model.metadata import Metadata
from ptystore.model.strict_json import is_number, refused, show_value

__all__ = [
    "is_said",
    "measurement_domain",
    "recorded_signal",
    "signal_of",
    "stated_scale",
    "stated_signal",
    "with_meaning",
    "with_signal",
]

_DOMAIN: Mapping[Signal, str] = {"amplitude": "normalized_amplitude", "counts": "count_intensity"}
_SIGNAL_OF_DOMAIN: Mapping[str, Signal] = {name: signal for signal, name in _DOMAIN.items()}
_SIGNAL_RECORDS = {RECORD_NAMES[verb] for verb in ("canonicalize", "simulate")}
_PHYSICS, _DOMAIN_KEY, _SCALE = "physics_parameters", "measurement_domain", "amplitude_scale"


def measurement_domain(signal: Signal) -> str:
    """What a document calls frames of this signal."""
    return _DOMAIN[signal]


def signal_of(dtype: np.dtype[Any], metadata: Metadata | None) -> Signal:
    """What frames of this dtype are, if nobody says: integers counts, floats as the document."""
    if dtype.kind in "iub":
        return "counts"
    return stated_signal(metadata) or "amplitude"


def stated_signal(metadata: Metadata | None) -> Signal | None:
    """What the document says that floating-point frames are; None where it says nothing.

    A root that the history records was taken, whatever `measurement_domain` says: tools that
    know nothing of the one leave it as it was. Raises `InputError` where `measurement_domain`
    is what it can't be.
    """
    if metadata is None:
        return None
    recorded = recorded_signal(metadata)
    if recorded == "amplitude":
        return recorded
    domain = metadata.measurement_domain
    return recorded if domain is None else _SIGNAL_OF_DOMAIN[domain]


def recorded_signal(metadata: Metadata) -> Signal | None:
    """What the last transformation that set the signal made of the frames."""
    try:
        history = metadata.history
    except InputError:
        return None
    for record in reversed(history):
        parameters = record.get("parameters")
        if (record.get("tool"), record.get("operation")) not in _SIGNAL_RECORDS:
            continue
        signal = parameters.get("signal") if isinstance(parameters, dict) else None
        if _known(signal) is not None:
            return _known(signal)
    return None


def is_said(dtype: np.dtype[Any], attrs: Mapping[str, Any], metadata: Metadata | None) -> bool:
    """Whether the `signal` among the attributes of frames is more than what is assumed.

    It is for integers, where the caller said so (`signal_said`) or the document does.
    """
    signal = _known(attrs.get("signal"))
    if dtype.kind != "f" or signal == attrs.get("signal_said"):
        return True
    try:
        return stated_signal(metadata) == signal
    except InputError:
        return False


def stated_scale(metadata: Metadata | None) -> float | None:
    """The document's `amplitude_scale`, None where it has none.

    Raises `InputError` where it is not a positive number.
    """
    try:
        physics = metadata.physics if metadata is not None else {}
    except InputError:
        return None
    scale = physics.get(_SCALE)
    if scale is None:
        return None
    if not is_number(scale) or not 0 < scale <= sys.float_info.max:
        raise refused((_PHYSICS, _SCALE), f"{show_value(scale)} is not a positive number")
    return float(scale)


def with_signal(metadata: Metadata, signal: Signal, scale: float | None) -> Metadata:
    """The document, true of frames of this signal and scale (None for frames without).

    `measurement_domain` is set wherever it stands, under `physics_parameters` where it stands
    nowhere. Raises `InputError` where those are not an object.
    """
    document, physics = metadata.document, metadata.physics
    stated = [place for place in (document, physics) if place.get(_DOMAIN_KEY) is not None]
    for place in stated or [physics]:
        place[_DOMAIN_KEY] = _DOMAIN[signal]
    physics.pop(_SCALE, None)
    if scale is not None:
        physics[_SCALE] = scale
    document[_PHYSICS] = physics
    return Metadata(document)


def with_meaning(metadata: Metadata, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> Metadata:
    """The document as it must stand beside frames of this dtype and these attributes.

    The same one where it says of them what the attributes say, so that whoever has nothing
    but the document reads the same; else with the signal and the scale put right. A scale
    that a first pass finds is looked up here.
    """
    signal = _known(attrs.get("signal"))
    if metadata.text is not None or signal is None:
        return metadata
    scale = attrs.get(_SCALE)
    said = "signal_said" in attrs
    told = dtype.kind != "f" or _tells(metadata, signal, None if said else "amplitude")
    if told and (scale is None or scale == stated_scale(metadata)):
        return metadata
    return with_signal(metadata, signal, scale)


def _tells(metadata: Metadata, signal: Signal, assumed: Signal | None) -> bool:
    """Whether a reader of the document alone takes frames of floats for what they are."""
    try:
        domain, stated = metadata.measurement_domain, stated_signal(metadata)
    except InputError:
        return False
    return domain in (None, _DOMAIN[signal]) and (stated or assumed) == signal


def _known(signal: object) -> Signal | None:
    return next((known for known in get_args(Signal) if known == signal), None)
