"""Exact numbers: 128-bit integers are int here and strings of digits on the wire;
amounts are minor units, shown as decimals. No floating point anywhere."""

import re

U128_MAX = 2**128 - 1

_ASSET = re.compile(r"[A-Z][A-Z0-9._-]{0,14}/([0-9]|1[0-8])")
_DECIMAL = re.compile(r"([0-9]{1,39})(?:\.([0-9]{1,39}))?")


def u128(value: int) -> str:
    """Return the digits of a 128-bit unsigned integer, as the API wants them."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not an integer")
    if not 0 <= value <= U128_MAX:
        raise ValueError(f"{value} is not between 0 and 2**128 - 1")
    return str(value)


def _scale(asset: str) -> int:
    match = _ASSET.fullmatch(asset)
    if not match:
        raise ValueError(f'{asset!r} is not an asset (want CODE/SCALE such as "CNY/2")')
    return int(match[1])


def parse_amount(decimal: str, asset: str) -> int:
    """Read a decimal number of the asset's major unit as minor units, exactly.

    parse_amount("12.34", "CNY/2") is 1234. Places beyond the scale are an error
    unless they are zeros.
    """
    scale = _scale(asset)
    match = _DECIMAL.fullmatch(decimal)
    if not match:
        raise ValueError(f"{decimal!r} is not a decimal number")
    places = match[2] or ""
    if places[scale:].strip("0"):
        raise ValueError(f"{decimal}: {asset} has only {scale} decimal places")
    minor = int(match[1] + places[:scale].ljust(scale, "0"))
    u128(minor)
    return minor


def format_amount(minor: int, asset: str) -> str:
    """Write minor units as a decimal number: format_amount(1234, "CNY/2") is "12.34"."""
    scale = _scale(asset)
    digits = u128(minor).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
