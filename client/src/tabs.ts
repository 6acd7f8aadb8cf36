import { type Grant, readGrant } from "./grants.js";

/** What tabs tell each other. `in`: somebody is signed in; `out`: no longer; `want`: who has a token since then? */
export type Message =
  | { readonly kind: "in"; readonly grant: Grant }
  | { readonly kind: "out"; readonly session: string | undefined; readonly reason: string; readonly at: number }
  | { readonly kind: "want"; readonly since: number };

/** The other tabs and workers of this origin, as far as the browser lets us know of them. */
export interface Tabs {
  /** Whether messages can be sent. */
  readonly talk: boolean;
  /** Runs `work` while no other tab runs its own. Where tabs cannot wait for each other it runs at once. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** The newest grant that a tab noted lately, without its token. To be asked inside `exclusively`. */
  noted(): Promise<Grant | undefined>;
  /** Notes a grant for the tabs that wait: it is there before they go on. */
  note(grant: Grant): Promise<void>;
  tell(message: Message): void;
  close(): void;
}

/** Nobody else: a page that is rendered on a server. */
export const ALONE: Tabs = {
  talk: false,
  exclusively: (work) => work(),
  noted: () => Promise.resolve(undefined),
  note: () => Promise.resolve(),
  tell: () => undefined,
  close: () => undefined,
};

/** A tab that was frozen or hangs while it holds the lock does not stop the others for longer. The desk bears races. */
const PATIENCE = 15_000;
/** How long a note stands: until the tabs that waited have read it. A lock held for ever keeps a tab from sleeping. */
const NOTED = 15_000;

/**
 * Tabs that meet by Web Locks and talk by BroadcastChannel; either may be missing.
 *
 * Locks and messages arrive in no particular order, so who gets the lock after another tab cannot tell from messages
 * whether that tab has refreshed. It can tell from the locks themselves: a grant is noted as the *name* of a further
 * lock, held for some seconds. A name holds no secret: who, which session, when.
 */
export class BrowserTabs implements Tabs {
  readonly #name: string;
  readonly #locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined;
  readonly #hear: (message: Message) => void;
  #channel: BroadcastChannel | undefined;
  #forget: () => void = () => undefined;

  constructor(name: string, hear: (message: Message) => void) {
    this.#name = name;
    this.#hear = hear;
    this.open();
  }

  get talk(): boolean {
    return this.#channel !== undefined;
  }

  open(): void {
    if (this.#channel || typeof BroadcastChannel === "undefined") return;
    try {
      this.#channel = new BroadcastChannel(this.#name);
    } catch {
      return; // an origin without storage may have none
    }
    this.#channel.onmessage = (event: MessageEvent<unknown>) => {
      const message = readMessage(event.data);
      if (message) this.#hear(message);
    };
  }

  tell(message: Message): void {
    if (message.kind === "out") this.#forget();
    this.#channel?.postMessage(message);
  }

  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#locks) return work();
    let begun = false;
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), PATIENCE);
    try {
      return await this.#locks.request(`${this.#name} refresh`, { signal: waiting.signal }, () => {
        begun = true;
        return work();
      });
    } catch (error) {
      if (begun) throw error;
      return await work();
    } finally {
      clearTimeout(timer);
    }
  }

  async note(grant: Grant): Promise<void> {
    if (!this.#locks) return;
    const { token: _, ...told } = grant;
    const held = (): Promise<void> =>
      new Promise((done) => {
        this.#forget();
        this.#forget = done;
        setTimeout(done, NOTED);
      });
    await new Promise<void>((noted) => {
      const holding = this.#locks?.request(this.#prefix + JSON.stringify(told), () => {
        noted();
        return held();
      });
      holding?.catch(() => noted());
    });
  }

  async noted(): Promise<Grant | undefined> {
    const { held = [] } = (await this.#locks?.query().catch(() => undefined)) ?? {};
    const now = Date.now();
    return held
      .map(({ name }) => (name?.startsWith(this.#prefix) ? parse(name.slice(this.#prefix.length)) : undefined))
      .filter((grant) => grant !== undefined && (grant.due ?? Infinity) > now && grant.at <= now)
      .reduce((newest, grant) => ((grant?.at ?? 0) > (newest?.at ?? 0) ? grant : newest), undefined);
  }

  /** Holds nothing that would keep the page out of the back/forward cache. */
  close(): void {
    this.#forget();
    this.#channel?.close();
    this.#channel = undefined;
  }

  get #prefix(): string {
    return `${this.#name} granted `;
  }
}

function parse(text: string): Grant | undefined {
  try {
    return readGrant(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function readMessage(value: unknown): Message | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, grant, session, reason, at, since } = value as Record<string, unknown>;
  if (kind === "in") {
    const found = readGrant(grant);
    return found && { kind, grant: found };
  }
  if (kind === "out" && typeof reason === "string" && typeof at === "number") {
    return { kind, session: typeof session === "string" ? session : undefined, reason, at };
  }
  return kind === "want" && typeof since === "number" ? { kind, since } : undefined;
}
