// Exact numbers: 128-bit integers are bigint here and strings of digits on the
// wire; amounts are minor units, shown as decimals. No floating point anywhere.

const u128Max = (1n << 128n) - 1n;

/** The digits of a 128-bit unsigned integer, as the API wants them. */
export function u128(value: bigint): string {
  if (value < 0n || value > u128Max) {
    throw new RangeError(`${value} is not between 0 and 2^128 - 1`);
  }
  return value.toString();
}

/** The integer of a string of digits from the API; "" is zero. */
export function fromU128(digits: string): bigint {
  if (!/^[0-9]{0,39}$/.test(digits)) {
    throw new RangeError(`${JSON.stringify(digits)} is not an unsigned integer`);
  }
  const value = BigInt(digits);
  if (value > u128Max) {
    throw new RangeError(`${digits} is larger than 2^128 - 1`);
  }
  return value;
}

function scaleOf(asset: string): number {
  const match = /^[A-Z][A-Z0-9._-]{0,14}\/([0-9]|1[0-8])$/.exec(asset);
  if (!match) {
    throw new RangeError(`${JSON.stringify(asset)} is not an asset (want CODE/SCALE such as "CNY/2")`);
  }
  return Number(match[1]);
}

/**
 * Reads a decimal number of the asset's major unit as minor units, exactly:
 * parseAmount("12.34", "CNY/2") is 1234n. Places beyond the scale are an error
 * unless they are zeros.
 */
export function parseAmount(decimal: string, asset: string): bigint {
  const scale = scaleOf(asset);
  const match = /^([0-9]{1,39})(?:\.([0-9]{1,39}))?$/.exec(decimal);
  if (!match) {
    throw new RangeError(`${JSON.stringify(decimal)} is not a decimal number`);
  }
  const places = match[2] ?? "";
  if (/[^0]/.test(places.slice(scale))) {
    throw new RangeError(`${decimal}: ${asset} has only ${scale} decimal places`);
  }
  const minor = BigInt(match[1] + places.slice(0, scale).padEnd(scale, "0"));
  u128(minor);
  return minor;
}

/** Writes minor units as a decimal number: formatAmount(1234n, "CNY/2") is "12.34". */
export function formatAmount(minor: bigint, asset: string): string {
  const scale = scaleOf(asset);
  const digits = u128(minor).padStart(scale + 1, "0");
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
