"""Python's units and the library's: seconds here, whole milliseconds there."""

from amy.errors import Code, Error

_U32_MAX = 2**32 - 1


def milliseconds(seconds: float) -> int:
    """Of a timeout, at least one. Raises Error(EINVAL)."""
    if not 0 < seconds <= _U32_MAX / 1000:
        raise Error(Code.EINVAL, "a timeout is more than 0 seconds, and less than 49 days")
    return max(1, round(seconds * 1000))


def count(number: int, what: str, most: int = _U32_MAX) -> int:
    """A number that fits the library's type. Raises Error(EINVAL)."""
    if not 0 <= number <= most:
        raise Error(Code.EINVAL, f"{what} is from 0 to {most}")
    return number


def size(number: int, what: str) -> int:
    """The same of bytes in memory."""
    return count(number, what, 2**62)
