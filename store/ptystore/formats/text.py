"""Arrays of text: what is valid, and their bytes where a format stores UTF-8."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.model.lazy_array import Array

__all__ = [
    "TEXT_LIMIT",
    "checked_text",
    "text_dtype",
    "text_from_utf8",
    "text_of_bytes",
    "utf8_from_text",
]

#: Bytes that an array of text may have in memory, at four a character: it is held whole.
TEXT_LIMIT = 1 << 30


def checked_text(values: Array) -> Array:
    """The same array of ``<U…``; raises `InputError` where an element is no Unicode text."""
    if values.dtype.itemsize and values.size:
        codes = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
        if codes.max() > 0x10FFFF:
            raise InputError("holds values that are no Unicode characters")
    return values


def text_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the text that an array of bytes (``S``) holds; any other stays as it is."""
    return np.dtype(f"U{dtype.itemsize}") if dtype.kind == "S" else dtype


def text_of_bytes(values: Array) -> Array:
    """An array of bytes as text; raises `InputError` where an element is not UTF-8."""
    texts = [bytes(element) for element in values.reshape(-1).tolist()]
    return text_from_utf8(texts, text_dtype(values.dtype), values.shape)


def utf8_from_text(values: Array) -> list[bytes]:
    """Each element as UTF-8, in C order.

    Raises `InputError` for lone surrogates, which no UTF-8 text can hold.
    """
    try:
        return [str(element).encode("utf-8") for element in values.reshape(-1)]
    except UnicodeEncodeError:
        raise InputError(
            "holds text with a lone surrogate, which UTF-8 can't represent",
            advice="correct the text, or leave the array out",
        ) from None


def text_from_utf8(texts: list[bytes], dtype: np.dtype[np.str_], shape: tuple[int, ...]) -> Array:
    """The array that `utf8_from_text` came from; raises `InputError` for invalid UTF-8."""
    try:
        decoded = [text.decode("utf-8") for text in texts]
    except UnicodeDecodeError:
        raise InputError("holds text that is not UTF-8") from None
    return np.array(decoded, dtype=dtype).reshape(shape)
