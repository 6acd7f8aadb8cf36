import { Desk, UNKNOWN } from "./desk.js";
import { Reach } from "./requests.js";
import { BrowserTabs } from "./tabs.js";
import type { Client, ClientOptions } from "./types.js";

/** A refresh is given up after so long: two of them and the difference of clocks stay below grace. */
export const PATIENCE = 14_000;
/** How often a tab that comes to the front looks who is signed in, at most: with messages from others, and without. */
const LOOKS = { told: 30_000, untold: 1_000 };

/** A client for a tab or a worker. Nothing is sent before it is used. */
export function createClient(options: ClientOptions = {}): Client {
  if (typeof globalThis.location === "undefined") return nowhere();
  const { base = "/auth", transport = "cookie", credential, origins = [], patience = PATIENCE } = options;
  if (!["cookie", "bearer"].includes(transport)) throw new TypeError(`transport is cookie or bearer, not ${transport}`);
  const bearer = transport === "bearer";
  if (bearer && credential === "session") throw new TypeError("with bearer the credential is jwt or jwe");
  const reach = new Reach(base, origins);
  let tabs: BrowserTabs | undefined;
  const desk = new Desk(
    {
      reach,
      transport,
      credential: credential ?? (bearer ? "jwt" : undefined),
      patience,
      held: bearer,
      jar: true,
      send: (request, init) => globalThis.fetch(request, init),
    },
    (hear) => (tabs = new BrowserTabs(`frontdesk ${transport} ${reach.base}`, hear)),
  );
  const leave = watch(desk, tabs as BrowserTabs);
  return Object.freeze({
    get state() {
      return desk.state;
    },
    fetch: desk.fetch.bind(desk),
    me: desk.me.bind(desk),
    signIn: desk.signIn.bind(desk),
    signOut: desk.signOut.bind(desk),
    refresh: desk.refresh.bind(desk),
    onChange: desk.onChange.bind(desk),
    acknowledge: desk.acknowledge.bind(desk),
    close: leave,
  });
}

/** A module may make its client where there is no browser: nothing is known there, and nothing can be asked. */
function nowhere(): Client {
  const sentence = "there is no browser here; a page that is rendered on a server takes createServerClient";
  const refuse = (): Promise<never> => Promise.reject(new TypeError(sentence));
  const nothing = (): void => undefined;
  return Object.freeze({
    state: UNKNOWN,
    fetch: refuse,
    me: refuse,
    signIn: refuse,
    signOut: refuse,
    refresh: refuse,
    onChange: () => nothing,
    acknowledge: nothing,
    close: nothing,
  });
}

/** Looks who is signed in when a tab comes to the front: another one, or a page of the server, may have changed it. */
function watch(desk: Desk, tabs: BrowserTabs): () => void {
  const page = globalThis.document as Document | undefined;
  const listening = new AbortController();
  const { signal } = listening;
  let looked = Date.now();
  const look = (pause: number): void => {
    const now = Date.now();
    if (desk.state.status === "unknown" || page?.visibilityState === "hidden") return;
    if (now - Math.max(looked, desk.knownAt) < pause) return;
    looked = now;
    desk.look();
  };
  const front = (): void => look(tabs.talk ? LOOKS.told : LOOKS.untold);
  if (page) {
    page.addEventListener("visibilitychange", front, { signal });
    globalThis.addEventListener("focus", front, { signal });
    globalThis.addEventListener("pagehide", () => tabs.close(), { signal });
    globalThis.addEventListener(
      "pageshow",
      (event) => {
        tabs.open();
        if (event.persisted) look(0);
      },
      { signal },
    );
  }
  return () => {
    listening.abort();
    tabs.close();
  };
}
