import type { Transport } from "./types.js";
/** The origins whose requests are signed: that of the desk, and those that were listed. */
export declare class Reach {
    #private;
    readonly base: string;
    constructor(base: string | URL, origins: readonly string[]);
    /** The address that `fetch` would ask. Without a page, relative addresses are those of the desk. */
    resolve(input: RequestInfo | URL): URL;
    covers(url: URL): boolean;
    /** What `credentials` must be so that this origin's cookies go along. */
    credentials(url: URL): RequestCredentials;
}
/** How requests are signed. `held`: by something that must not follow a redirect. */
export interface Signing {
    readonly reach: Reach;
    readonly transport: Transport;
    readonly held: boolean;
}
/** Methods that change nothing (RFC 9110 §9.2.1). */
export declare const SAFE: ReadonlySet<string>;
/** One request that is signed, and sent again if need be. */
export declare class Outgoing {
    #private;
    /** Whether it can be sent again: a stream is gone once it was sent. */
    readonly repeatable: boolean;
    readonly signal: AbortSignal | null | undefined;
    private constructor();
    /** The request as it is to be signed; undefined when it is none of ours and is to be sent as it stands. */
    static of(input: RequestInfo | URL, init: RequestInit, { reach, transport, held }: Signing): Outgoing | undefined;
    /** A request to send, signed by `token` where there is one. */
    next(token: string | undefined): Request;
    /** Whether what was asked for may have been done: the answer is that of what a redirect led to. */
    wasDone(response: Response): boolean;
    /** Refuses the answer if it is a redirect that was not followed on purpose. */
    check(response: Response): void;
}
/** What `promise` says, unless the caller gives up before. */
export declare function unlessAborted<T>(signal: AbortSignal | null | undefined, promise: Promise<T>): Promise<T>;
