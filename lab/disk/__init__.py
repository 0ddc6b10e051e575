"""Files of the lab: written whole or not at all, by one function; and which process wrote what."""

from .whole import check, writable, write

__all__ = ["check", "writable", "write"]
