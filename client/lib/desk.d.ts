import { type Signing } from "./requests.js";
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
export declare const UNKNOWN: State;
/**
 * Who is signed in, kept together with what signs requests.
 *
 * - A refresh is shared by everybody in the tab, and with other tabs by `Tabs`. It is asked for as one that was
 *   complete after a moment, so that whoever comes second finds it done.
 * - A refusal becomes state only if it is one of `OVER`, and is said twice: the first may be older than a sign-in of
 *   another tab. What could not be asked changes nothing.
 * - `#epoch` counts sign-ins and sign-outs; an answer from before the last one is not believed.
 */
export declare class Desk {
    #private;
    constructor(around: Surroundings, tabs: (hear: (message: Message) => void) => Tabs);
    get state(): State;
    /** When something was last known to be so, in milliseconds of the clock; 0 for never. */
    get knownAt(): number;
    onChange(listener: Listener): () => void;
    acknowledge(): void;
    fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
    me(): Promise<Me | null>;
    /** Looks who is signed in, because this tab may have slept through it. Requests that begin meanwhile wait for it. */
    look(): void;
    refresh(): Promise<State>;
    signIn(how: SignIn | (() => Promise<Response>)): Promise<SignedIn>;
    signOut(): Promise<void>;
}
