"""What msgspec raises at bytes that are not what was asked for: it is more than its own errors."""

from typing import Final

import msgspec

UNREADABLE: Final = (
    msgspec.MsgspecError,
    UnicodeDecodeError,  # a string that is no UTF-8
    RecursionError,  # nested a few thousand deep
)
