"""Commits that SQLite would drop without a word.

SQLite reads a write-ahead log up to the first frame that does not match its checksum. That is right
for what a crash has torn, which nobody was told was durable; but a byte that rots in the middle of
the log takes everything behind it with it. With synchronous=FULL each commit is on disk before the
next begins, so at most one commit can be torn: more than one behind the last good frame is damage.

Format: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["dropped_commits"]

_FILE_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, salts, checksums
_FRAME_HEADER = struct.Struct(">6I")  # page, size of the database if it commits, salts, checksums
_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS = 0x377F0683, 0x377F0682
_WORD = 2**32


def dropped_commits(path: Path, good_frames: int, page_size: int) -> int:
    """Commits in a log behind what SQLite reads of it.

    Args:
        path: the `-wal` file; it may be missing.
        good_frames: how many frames SQLite reads.
        page_size: of the database, in bytes.
    """
    try:
        log = path.open("rb")
    except FileNotFoundError:
        return 0
    with log:
        # Frames with other salts are left over from before the log was last begun anew. If the
        # header that says which are the right ones is lost itself, those of the first frame are.
        salts = _salts(log.read(_FILE_HEADER.size))
        count, position = 0, _FILE_HEADER.size + good_frames * (_FRAME_HEADER.size + page_size)
        while len(frame := _read_at(log, position)) == _FRAME_HEADER.size:
            page, commits, salt_1, salt_2, _, _ = _FRAME_HEADER.unpack(frame)
            if salts is None and page > 0:
                salts = (salt_1, salt_2)
            count += page > 0 and commits > 0 and (salt_1, salt_2) == salts
            position += _FRAME_HEADER.size + page_size
    return count


def _read_at(log: BinaryIO, position: int) -> bytes:
    log.seek(position)
    return log.read(_FRAME_HEADER.size)


def _salts(header: bytes) -> tuple[int, int] | None:
    """The salts in the header of a log, None if it is torn or damaged."""
    if len(header) < _FILE_HEADER.size:
        return None
    magic, _, _, _, salt_1, salt_2, *sums = _FILE_HEADER.unpack(header)
    if magic not in (_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS):
        return None
    words = struct.unpack(">6I" if magic == _BIG_ENDIAN_SUMS else "<6I", header[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) % _WORD
        second = (second + odd + first) % _WORD
    return (salt_1, salt_2) if [first, second] == sums else None
