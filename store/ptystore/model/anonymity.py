"""What tells of people and machines in a document: hosts, users, folders."""

from __future__ import annotations

import os
import re
from typing import Any, Final

__all__ = ["anonymous_document", "wants_anonymity", "without_folders"]

_VARIABLE: Final = "PTYSTORE_ANONYMOUS"

#: Keys whose text names a machine or a person, in lower case without separators.
_NAMING: Final = frozenset(
    (
        *("host", "hostname", "machine", "machinename", "computername", "node", "nodename"),
        *("fqdn", "ip", "ipaddress", "user", "username", "login", "loginname", "account"),
        *("email", "home"),
    )
)

# A whole text that is an absolute path, which may have spaces in it; and one within a text.
_ROOT = r"(?:file://+|~\w*[/\\]|[A-Za-z]:[/\\]|\\\\|/)"
_WHOLE = re.compile(rf"{_ROOT}[^\n]*")
_WITHIN = re.compile(rf"(?<![\w./\\:~]){_ROOT}[^\s\"'<>|,;=]*[/\\][^\s\"'<>|,;=]*")


def wants_anonymity(given: bool | None) -> bool:
    """What a caller says, or the environment variable PTYSTORE_ANONYMOUS: not empty and not 0."""
    return os.environ.get(_VARIABLE, "0") not in ("", "0") if given is None else given


def anonymous_document(document: dict[str, Any]) -> dict[str, Any]:
    """A JSON document without names of hosts and users, and with file names in place of paths.

    Values of keys such as `hostname` and `user` become null, absolute paths their last part,
    wherever they stand. ptystore's own records of the history are kept as they are: they hold no
    folder, and a path in them is one inside a file.
    """
    return {
        key: [item if _is_ours(item) else _cleaned(item) for item in value]
        if key == "data_transformations" and isinstance(value, list)
        else _cleaned_entry(key, value)
        for key, value in document.items()
    }


def _is_ours(record: Any) -> bool:
    return isinstance(record, dict) and str(record.get("software")).startswith("ptystore ")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned_entry(key, item) for key, item in value.items()}
    return value


def _cleaned_entry(key: str, value: Any) -> Any:
    return None if _names(key, value) else _cleaned(value)


def _names(key: str, value: Any) -> bool:
    return isinstance(value, str | list) and re.sub(r"[\W_]", "", key).lower() in _NAMING


def without_folders(text: str) -> str:
    """A text with the last part alone of each absolute path."""
    if _WHOLE.fullmatch(text):
        return _last_part(text)
    return _WITHIN.sub(lambda found: _last_part(found.group()), text)


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
