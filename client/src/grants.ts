/**
 * What a sign-in or a refresh granted. `at`: when it was complete. `due`: when the next refresh should happen; absent
 * where nothing expires. Both are milliseconds of this machine's clock, which all tabs share; what the clock says does
 * not matter, only how it moves. `token` exists under the transport `bearer` alone.
 */
export interface Grant {
  readonly subject: string;
  readonly session: string;
  readonly at: number;
  readonly due?: number;
  readonly token?: string;
}

const LONGEST_MARGIN = 30_000;

/** The grant in an answer of `/login` or `/refresh` whose request was sent at `sent`; undefined if there is none. */
export function grantOf(body: unknown, sent: number, now: number): Grant | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { subject, session, access_token: token, expires_in: seconds } = body as Record<string, unknown>;
  if (typeof subject !== "string" || typeof session !== "string") return undefined;
  const life = typeof seconds === "number" ? seconds * 1000 : undefined;
  return {
    subject,
    session,
    at: now,
    // Counted from when it was asked for: the desk cannot have issued it earlier.
    ...(life === undefined ? {} : { due: sent + life - Math.min(LONGEST_MARGIN, life / 10) }),
    ...(typeof token === "string" ? { token } : {}),
  };
}

/** What another tab says, if it has the shape of a grant. */
export function readGrant(value: unknown): Grant | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { subject, session, at, due, token } = value as Record<string, unknown>;
  if (typeof subject !== "string" || typeof session !== "string" || typeof at !== "number") return undefined;
  return {
    subject,
    session,
    at,
    ...(typeof due === "number" ? { due } : {}),
    ...(typeof token === "string" ? { token } : {}),
  };
}

/**
 * Tells when a grant is due. Whichever clock has moved further decides: the monotonic one stands still while some
 * machines sleep, the other may be set back.
 */
export class Alarm {
  readonly #wall: number;
  readonly #steady: number;

  constructor(due: number | undefined) {
    this.#wall = due ?? Infinity;
    this.#steady = performance.now() + this.#wall - Date.now();
  }

  get rings(): boolean {
    return Date.now() >= this.#wall || performance.now() >= this.#steady;
  }
}
