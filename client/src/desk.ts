import { errorOf, FrontdeskError, OVER, refusalOf } from "./errors.js";
import { Alarm, type Grant, grantOf } from "./grants.js";
import { Outgoing, type Signing, unlessAborted } from "./requests.js";
import type { Message, Tabs } from "./tabs.js";
import type { Credential, Listener, Me, SignedIn, SignIn, State } from "./types.js";

/** What surrounds the rules: how a request is sent, who else is there, and what a server does differently. */
export interface Surroundings extends Signing {
  readonly credential: Credential | undefined;
  readonly patience: number;
  /** Sends a request. `signed`: it is one of ours, so that cookies may be added. */
  send(request: RequestInfo | URL, init: RequestInit | undefined, signed: boolean): Promise<Response>;
  /** Whether these are the cookies of a browser, so that others may have come meanwhile: then asking again helps. */
  readonly jar: boolean;
}

/** Before anything was asked. */
export const UNKNOWN: State = Object.freeze({ status: "unknown" });
/** Pauses before a refresh is sent again whose answer was lost: a repeated refresh does no harm. In milliseconds. */
const AGAIN = [150, 600];
/** How long another tab may take to pass on a token that it has noted. */
const PASSING_ON = 1_000;
const ROUNDS = 3;

/**
 * Who is signed in, kept together with what signs requests.
 *
 * - A refresh is shared by everybody in the tab, and with other tabs by `Tabs`. It is asked for as one that was
 *   complete after a moment, so that whoever comes second finds it done.
 * - A refusal becomes state only if it is one of `OVER`, and is said twice: the first may be older than a sign-in of
 *   another tab. What could not be asked changes nothing.
 * - `#epoch` counts sign-ins and sign-outs; an answer from before the last one is not believed.
 */
export class Desk {
  readonly #around: Surroundings;
  readonly #bearer: boolean;
  readonly #listeners = new Set<Listener>();
  readonly #awaited = new Set<() => void>();
  #tabs: Tabs;
  #state: State = UNKNOWN;
  #grant: Grant | undefined;
  #alarm = new Alarm(undefined);
  #epoch = 0;
  #flight: Promise<boolean> | undefined;
  /** A look at who is signed in, for which requests wait. */
  #look: Promise<unknown> | undefined;

  constructor(around: Surroundings, tabs: (hear: (message: Message) => void) => Tabs) {
    this.#around = around;
    this.#bearer = around.transport === "bearer";
    this.#tabs = tabs((message) => this.#hear(message));
  }

  get state(): State {
    return this.#state;
  }

  /** When something was last known to be so, in milliseconds of the clock; 0 for never. */
  get knownAt(): number {
    return this.#grant?.at ?? 0;
  }

  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  acknowledge(): void {
    if (this.#state.status !== "changed") return;
    const { subject, session } = this.#state;
    this.#become({ status: "signed-in", subject, session });
  }

  // --- requests ----------------------------------------------------------------------------------------------------

  async fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const outgoing = Outgoing.of(input, init, this.#around);
    if (!outgoing) return this.#around.send(input, init, false);
    if (this.#look) await unlessAborted(outgoing.signal, this.#look);
    return this.#signed(outgoing, true);
  }

  async me(): Promise<Me | null> {
    const began = Date.now();
    const { reach, patience } = this.#around;
    // Without a token no request shows whether somebody has signed in elsewhere; the refresh cookie does.
    if (this.#bearer && this.#state.status === "signed-out") await this.#renew(began);
    const asked = { cache: "no-store", signal: AbortSignal.timeout(patience) } as const;
    const outgoing = Outgoing.of(`${reach.base}/me`, asked, this.#around) as Outgoing; // our own base is covered
    const response = await this.#signed(outgoing, false).catch(asFrontdeskError);
    if (response.status === 401 && this.#state.status === "signed-out") return null;
    if (!response.ok) throw await errorOf(response);
    const me = (await response.json().catch(() => undefined)) as Me | undefined;
    if (typeof me?.subject !== "string" || typeof me.session_id !== "string") throw noDesk();
    // Good cookies as of then, which says nothing of when they are due.
    if (this.#grant?.session !== me.session_id) this.#adopt({ subject: me.subject, session: me.session_id, at: began });
    return me;
  }

  /** Looks who is signed in, because this tab may have slept through it. Requests that begin meanwhile wait for it. */
  look(): void {
    this.#look ??= this.me()
      .catch(() => undefined)
      .finally(() => (this.#look = undefined));
  }

  /** Sends, and once more after a refresh. `guarded`: only on behalf of who was signed in when it began. */
  async #signed(outgoing: Outgoing, guarded: boolean): Promise<Response> {
    const mine = this.#state.status === "signed-in" ? this.#state.subject : undefined;
    const guard = (): void => {
      const now = this.#state;
      const other = now.status === "changed" || (now.status === "signed-in" && now.subject !== (mine ?? now.subject));
      if (guarded && other) throw changed();
    };
    guard();
    for (let again = false; ; again = true) {
      await unlessAborted(outgoing.signal, this.#prepare());
      guard();
      const began = Date.now();
      const response = await this.#around.send(outgoing.next(this.#grant?.token), undefined, true);
      outgoing.check(response);
      const code = await refusalOf(response);
      if (code === undefined || again || !this.#isNews(code) || outgoing.wasDone(response)) return response;
      // What another tab was granted since will do. Not at the same tick: that may be what was refused.
      await unlessAborted(outgoing.signal, this.#renew(began + 1));
      guard();
      if (this.#state.status === "signed-out" || !outgoing.repeatable) return response;
    }
  }

  /** Whether a refusal may have to do with the credential, and says what is not known here. */
  #isNews(code: string): boolean {
    return code === "token_expired" || (OVER.has(code) && this.#state.status !== "signed-out");
  }

  /** A refresh before the request where it is due, or where there is no token yet. */
  async #prepare(): Promise<void> {
    if (this.#state.status === "signed-out") return;
    if (this.#bearer && this.#grant?.token === undefined) await this.#renew(0);
    // The token is good a little longer, so that a refresh that fails now is no reason not to ask.
    else if (this.#alarm.rings) await this.#renew(this.knownAt + 1).catch(() => undefined);
  }

  // --- refreshing ---------------------------------------------------------------------------------------------------

  async refresh(): Promise<State> {
    await this.#renew(Date.now());
    return this.#state;
  }

  /**
   * Returns when a refresh was complete after `since`, or when it is known that nobody is signed in. Whether it was a
   * request of this tab. Throws if it could not be asked for; then nothing has changed.
   */
  async #renew(since: number): Promise<boolean> {
    for (let round = 1; round <= ROUNDS; round++) {
      if (this.#has(since)) return false;
      this.#flight ??= this.#tabs.exclusively(() => this.#renewAlone(since)).finally(() => (this.#flight = undefined));
      const asked = await this.#flight;
      if (asked || this.#state.status === "signed-out") return asked;
    }
    return false;
  }

  #has(since: number): boolean {
    return this.#grant !== undefined && this.#grant.at >= since && (!this.#bearer || this.#grant.token !== undefined);
  }

  async #renewAlone(since: number): Promise<boolean> {
    if (this.#has(since)) return false;
    const noted = await this.#tabs.noted();
    if (noted && noted.at >= since) {
      if (!this.#bearer) this.#adopt(noted);
      else await this.#passedOn(since);
      if (this.#has(since)) return false;
    }
    await this.#ask();
    return true;
  }

  /** Waits for the tab that noted a grant to pass on its token. */
  async #passedOn(since: number): Promise<void> {
    if (!this.#tabs.talk) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#awaited.delete(look);
        resolve();
      };
      const look = (): void => (this.#has(since) ? done() : undefined);
      const timer = setTimeout(done, PASSING_ON);
      this.#awaited.add(look);
      this.#tabs.tell({ kind: "want", since });
      look();
    });
  }

  /** Asks the desk, until its answer is from after the last sign-in or sign-out, and a refusal was said twice. */
  async #ask(): Promise<void> {
    let refused: string | undefined;
    for (let round = 1; ; round++) {
      const epoch = this.#epoch;
      const answer = await this.#present();
      if (epoch !== this.#epoch && round < ROUNDS) continue;
      if (typeof answer !== "string") {
        await this.#share(answer);
        return;
      }
      if (answer === "session_replaced" && !this.#around.jar) throw outrun();
      const nobody = answer === "not_signed_in" && this.#shownTo === undefined;
      if (refused !== undefined || nobody || !this.#around.jar || round >= ROUNDS) {
        this.#leave(refused ?? answer);
        return;
      }
      refused = answer;
    }
  }

  /** One refresh, sent again while its answer gets lost: what was granted, or the code of the refusal. */
  async #present(): Promise<Grant | string> {
    for (let lost = 0; ; lost++) {
      const sent = Date.now();
      let response: Response;
      try {
        // keepalive: the cookies of the answer arrive even when the tab is closed meanwhile.
        response = await this.#post("/refresh", { keepalive: true });
      } catch (error) {
        const pause = AGAIN[lost];
        if (pause === undefined || !(error instanceof FrontdeskError) || error.code !== "network_error") throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
        continue;
      }
      if (response.ok) return this.#granted(await response.json().catch(() => undefined), sent);
      const code = await refusalOf(response);
      if (code !== undefined && OVER.has(code)) return code;
      throw await errorOf(response);
    }
  }

  /** What an answer grants. A session of another transport is none for this client. */
  #granted(body: unknown, sent: number): Grant | "transport_mismatch" {
    const grant = grantOf(body, sent, Date.now());
    if (!grant) throw noDesk();
    return this.#bearer === (grant.token !== undefined) ? grant : "transport_mismatch";
  }

  // --- signing in and out -------------------------------------------------------------------------------------------

  async signIn(how: SignIn | (() => Promise<Response>)): Promise<SignedIn> {
    await this.#flight?.catch(() => undefined);
    return this.#tabs.exclusively(async () => {
      const sent = Date.now();
      const response = await (typeof how === "function" ? how() : this.#logIn(how));
      if (!response.ok) throw await errorOf(response);
      const body: unknown = await response.json().catch(() => undefined);
      // A route of the application answers what it likes; then the desk says who was signed in.
      const foreign = typeof how === "function" && !grantOf(body, sent, sent);
      const grant = foreign ? await this.#present() : this.#granted(body, sent);
      if (typeof grant === "string") throw new FrontdeskError(grant, "The sign-in is not carried as this client does.");
      this.#epoch++;
      await this.#share(grant, true);
      return this.#state as SignedIn;
    });
  }

  #logIn(details: SignIn): Promise<Response> {
    const { email, password, remember } = details;
    const { transport, credential } = this.#around;
    const asked = {
      email,
      password,
      ...(remember === undefined ? {} : { remember }),
      ...(credential === undefined ? {} : { credential }),
      transport,
      ...(this.#bearer ? { refresh_in: "cookie" } : {}),
    };
    return this.#post("/login", { body: JSON.stringify(asked), headers: { "content-type": "application/json" } });
  }

  async signOut(): Promise<void> {
    if (this.#state.status === "changed") throw changed();
    await this.#flight?.catch(() => undefined);
    await this.#tabs.exclusively(async () => {
      const token = this.#grant?.token;
      const response = await this.#post("/logout", {
        keepalive: true,
        ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      });
      const code = await refusalOf(response);
      if (!response.ok && (code === undefined || !OVER.has(code))) throw await errorOf(response);
      this.#leave("signed_out");
    });
  }

  // --- state --------------------------------------------------------------------------------------------------------

  /** A grant of this tab: for itself, for those who wait, and for those who listen. `own`: of a sign-in here. */
  async #share(grant: Grant, own = false): Promise<void> {
    this.#adopt(grant, own);
    await this.#tabs.note(grant);
    this.#tabs.tell({ kind: "in", grant });
  }

  #adopt(grant: Grant, own = false): void {
    this.#grant = grant;
    this.#alarm = new Alarm(grant.due);
    const { subject, session } = grant;
    const previous = (own ? undefined : this.#shownTo) ?? subject;
    const same = previous === subject;
    this.#become(same ? { status: "signed-in", subject, session } : { status: "changed", subject, session, previous });
    for (const look of [...this.#awaited]) look();
  }

  /** Whose data this tab may be showing. */
  get #shownTo(): string | undefined {
    const state = this.#state;
    return state.status === "changed" ? state.previous : state.status === "signed-in" ? state.subject : undefined;
  }

  /** Nobody is signed in. `told`: the other tabs know. */
  #leave(reason: string, told = false): void {
    if (this.#state.status === "signed-out") return; // the first reason stands
    const session = this.#grant?.session;
    this.#grant = undefined;
    this.#alarm = new Alarm(undefined);
    this.#epoch++;
    this.#become({ status: "signed-out", reason });
    if (!told) this.#tabs.tell({ kind: "out", session, reason, at: Date.now() });
  }

  #become(state: State): void {
    const before = this.#state;
    if (JSON.stringify(before) === JSON.stringify(state)) return;
    this.#state = Object.freeze(state);
    for (const listener of [...this.#listeners]) {
      // A listener that throws is its owner's business, and keeps nobody else from hearing.
      try {
        listener(this.#state, before);
      } catch (error) {
        reportError(error);
      }
    }
  }

  #hear(message: Message): void {
    const own = this.#grant;
    if (message.kind === "want") {
      const good = this.#bearer && this.#has(message.since) && !this.#alarm.rings;
      if (own && good) this.#tabs.tell({ kind: "in", grant: own });
    } else if (message.kind === "out") {
      const mine = own ? (message.session ? message.session === own.session : message.at >= own.at) : true;
      if (mine) this.#leave(message.reason, true);
    } else if (message.grant.at > this.knownAt && this.#bearer === (message.grant.token !== undefined)) {
      if (message.grant.session !== own?.session) this.#epoch++;
      this.#adopt(message.grant);
    }
  }

  // --- the wire -----------------------------------------------------------------------------------------------------

  /** One request of our own to the desk. Throws `network_error` or `timeout` when no answer came. */
  async #post(path: string, init: RequestInit): Promise<Response> {
    const { reach, patience, send } = this.#around;
    const url = new URL(reach.base + path);
    const own: RequestInit = {
      method: "POST",
      cache: "no-store",
      redirect: "error",
      credentials: reach.credentials(url),
      signal: AbortSignal.timeout(patience),
      ...init,
    };
    return send(new Request(url, own), undefined, true).catch(asFrontdeskError);
  }
}

/** `fetch` says a TypeError when there was no answer, and that of the signal when time was up. */
function asFrontdeskError(cause: unknown): never {
  if (cause instanceof FrontdeskError) throw cause;
  const late = cause instanceof Error && (cause.name === "TimeoutError" || cause.name === "AbortError");
  const sentence = late ? "The desk did not answer in time." : "The desk could not be reached.";
  throw new FrontdeskError(late ? "timeout" : "network_error", sentence, 0, undefined, undefined, cause);
}

function changed(): FrontdeskError {
  return new FrontdeskError("subject_changed", "Somebody else is signed in by now; nothing was sent as them.");
}

/** On a server: its cookies are from before a newer sign-in, whose cookies the browser holds by now. */
function outrun(): FrontdeskError {
  return new FrontdeskError("session_replaced", "A newer sign-in of this browser has outrun the request.", 401);
}

function noDesk(): FrontdeskError {
  return new FrontdeskError("answer_invalid", "The answer is not one of a desk.");
}
