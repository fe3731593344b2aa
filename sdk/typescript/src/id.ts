import { randomBytes } from "node:crypto";

/**
 * Makes ids for accounts and transfers: 48 bits of milliseconds since 1970 UTC,
 * then 80 random bits; each larger than those made before by this generator.
 */
export class IdGenerator {
  private last = 0n;
  private millis = 0;

  next(now: number = Date.now()): bigint {
    if (now > this.millis) {
      this.millis = now;
      const random = BigInt("0x" + randomBytes(10).toString("hex"));
      const id = (BigInt(now) << 80n) | random;
      this.last = id > this.last ? id : this.last + 1n; // more than 2^80 in a millisecond never happens
    } else {
      this.last += 1n;
    }
    return this.last;
  }
}
