import type { Transport } from "./types.js";
import { FrontdeskError } from "./errors.js";

/** The origins whose requests are signed: that of the desk, and those that were listed. */
export class Reach {
  readonly base: string;
  readonly #home: string;
  readonly #origins: ReadonlySet<string>;

  constructor(base: string | URL, origins: readonly string[]) {
    const url = new URL(base, here());
    if (!isHttp(url)) throw new TypeError(`base is an address of a desk, not ${url.href}`);
    this.base = url.href.replace(/\/$/, "");
    this.#home = url.origin;
    for (const origin of origins) {
      if (!isOrigin(origin)) throw new TypeError(`origins holds origins such as https://api.example, not ${origin}`);
    }
    this.#origins = new Set([url.origin, ...origins]);
  }

  /** The address that `fetch` would ask. Without a page, relative addresses are those of the desk. */
  resolve(input: RequestInfo | URL): URL {
    return new URL(input instanceof Request ? input.url : input, here() ?? this.#home);
  }

  covers(url: URL): boolean {
    return isHttp(url) && this.#origins.has(url.origin);
  }

  /** What `credentials` must be so that this origin's cookies go along. */
  credentials(url: URL): RequestCredentials {
    return url.origin === globalThis.location?.origin ? "same-origin" : "include";
  }
}

/** How requests are signed. `held`: by something that must not follow a redirect. */
export interface Signing {
  readonly reach: Reach;
  readonly transport: Transport;
  readonly held: boolean;
}

/** Methods that change nothing (RFC 9110 §9.2.1). */
export const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

const REDIRECTED =
  "The answer is a redirect, which is not followed with a credential. Ask for its target, or say redirect: 'follow'.";

/** One request that is signed, and sent again if need be. */
export class Outgoing {
  readonly #input: Request | string;
  readonly #init: RequestInit;
  /** Whether it can be sent again: a stream is gone once it was sent. */
  readonly repeatable: boolean;
  readonly signal: AbortSignal | null | undefined;
  readonly #held: boolean;
  readonly #safe: boolean;

  private constructor(input: Request | string, init: RequestInit, held: boolean) {
    this.#input = input;
    this.#init = init;
    this.#held = held;
    this.repeatable = !isStream(init.body);
    const method = init.method ?? (input instanceof Request ? input.method : "GET");
    this.#safe = SAFE.has(method.toUpperCase());
    this.signal = init.signal ?? (input instanceof Request ? input.signal : undefined);
  }

  /** The request as it is to be signed; undefined when it is none of ours and is to be sent as it stands. */
  static of(
    input: RequestInfo | URL,
    init: RequestInit,
    { reach, transport, held }: Signing,
  ): Outgoing | undefined {
    const url = reach.resolve(input);
    const given = input instanceof Request ? input : undefined;
    const headers = new Headers(init.headers ?? given?.headers);
    const mode = init.mode ?? given?.mode;
    if (!reach.covers(url) || headers.has("authorization") || mode === "no-cors") return undefined;
    // A request object always says something; only what differs from what it says by itself was meant.
    const credentials = init.credentials ?? (given?.credentials === "same-origin" ? undefined : given?.credentials);
    if (transport === "cookie" && credentials === "omit") return undefined;
    // Another origin needs no cookie where a token goes along, and may be read by fewer conditions of CORS without.
    const usual = transport === "cookie" ? reach.credentials(url) : "same-origin";
    const own: RequestInit = { ...init, credentials: credentials ?? usual };
    // What we put into a header must not follow a redirect to somebody else, in whichever browser.
    const hold = held && init.redirect === undefined;
    if (hold) own.redirect = "manual";
    return new Outgoing(given ?? url.href, own, hold);
  }

  /** A request to send, signed by `token` where there is one. */
  next(token: string | undefined): Request {
    const request = new Request(this.#input instanceof Request ? this.#input.clone() : this.#input, this.#init);
    if (token !== undefined) request.headers.set("authorization", `Bearer ${token}`);
    return request;
  }

  /** Whether what was asked for may have been done: the answer is that of what a redirect led to. */
  wasDone(response: Response): boolean {
    return response.redirected && !this.#safe;
  }

  /** Refuses the answer if it is a redirect that was not followed on purpose. */
  check(response: Response): void {
    const { type, status } = response;
    const redirected = type === "opaqueredirect" || (status > 300 && status < 400 && response.headers.has("location"));
    if (this.#held && redirected) throw new FrontdeskError("redirect_refused", REDIRECTED, status);
  }
}

/** What `promise` says, unless the caller gives up before. */
export function unlessAborted<T>(signal: AbortSignal | null | undefined, promise: Promise<T>): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function here(): string | undefined {
  return globalThis.document?.baseURI ?? globalThis.location?.href;
}

function isOrigin(text: string): boolean {
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}

function isHttp(url: URL): boolean {
  return url.protocol === "https:" || url.protocol === "http:";
}

function isStream(body: BodyInit | null | undefined): boolean {
  return typeof body === "object" && body !== null && (body instanceof ReadableStream || Symbol.asyncIterator in body);
}
