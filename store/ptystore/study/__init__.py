"""Orchestration of whole studies, and the demo's scan."""
