"""Lines of a text file, plain or gzip-compressed."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from lepton_rl.core.errors import InputFileError, WorkloadError

__all__ = ["read_bytes", "read_lines", "stem_of"]

_GZIP_MAGIC = b"\x1f\x8b"


def stem_of(path: Path, suffix: str = "") -> str:
    """File name without `.gz` and the suffix before it (`suffix` where given, else any)."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    if suffix:
        return name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return Path(name).stem


def read_bytes(path: Path) -> bytes:
    """Content of a file, decompressed if it is gzip.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is a damaged gzip file, or is named .gz and is none.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise WorkloadError(
            f"{path}: cannot decompress it ({error}): it is cut off or damaged; fetch it again"
        ) from error
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror or error}") from error
    if path.suffix.lower() == ".gz":
        raise WorkloadError(
            f"{path}: the name ends in .gz but the content is not gzip; rename it to"
            f" {path.with_suffix('').suffix} if it is plain text, or fetch it again"
        )
    return data


def read_lines(path: Path, what: str) -> list[str]:
    """Lines without their ends, of UTF-8 text, or of Latin-1 where it is no UTF-8.

    Args:
        path: a text file, plain or gzip.
        what: the format that is expected, for messages.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it cannot be decompressed, or is binary.
    """
    data = read_bytes(path)
    if b"\0" in data:
        raise WorkloadError(f"{path}: expected text in {what}, got binary data")
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.split("\n")  # `str.splitlines` would split at more than line ends
