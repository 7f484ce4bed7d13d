"""Wavelengths, and what a pixel of the detector means in the plane of the object."""

from __future__ import annotations

import math

__all__ = ["electron_wavelength", "far_field_distance", "far_field_pixel", "photon_wavelength"]

_HC_EV_M = 1.2398419843320026e-6  # h·c, CODATA 2018
_ELECTRON_EV = 510998.95  # rest energy of the electron, CODATA 2018


def photon_wavelength(energy_ev: float) -> float:
    """The wavelength in metres of photons of an energy in eV: λ = hc/E."""
    return _HC_EV_M / energy_ev


def electron_wavelength(energy_ev: float) -> float:
    """The wavelength in metres of electrons of a kinetic energy in eV, relativistic.

    λ = hc / sqrt(E (E + 2 m c²)), e.g. Reimer and Kohl, Transmission Electron Microscopy, eq. 2.13.
    """
    return _HC_EV_M / math.sqrt(energy_ev * (energy_ev + 2 * _ELECTRON_EV))


def far_field_pixel(wavelength: float, distance: float, pixels: int, pixel: float) -> float:
    """The object's pixel in metres for frames of `pixels` of size `pixel` (m): dx = λ z / (N Δ)."""
    return wavelength * distance / (pixels * pixel)


def far_field_distance(wavelength: float, dx: float, pixels: int, pixel: float) -> float:
    """The distance in metres for which `far_field_pixel` is `dx`: z = dx N Δ / λ."""
    return dx * pixels * pixel / wavelength
