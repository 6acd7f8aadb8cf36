/** What a sign-in asks for: an opaque session, a JWT, or an encrypted JWT. */
export type Credential = "session" | "jwt" | "jwe";
/**
 * How requests are signed. `cookie`: by cookies that no script can read. `bearer`: by `Authorization`, with the access
 * token in memory alone and the refresh token in its HttpOnly cookie.
 */
export type Transport = "cookie" | "bearer";
/** How a client is made. Every member may be left out. */
export interface ClientOptions {
    /** Where the API is mounted: a path of this origin or a whole address. `/auth` by default. */
    readonly base?: string | URL;
    /** `cookie` by default. */
    readonly transport?: Transport;
    /** What a sign-in asks for. By default what the deployment gives; `jwt` under the transport `bearer`. */
    readonly credential?: Credential;
    /** Origins beside that of `base` whose requests are signed too, such as `https://api.example`. */
    readonly origins?: readonly string[];
    /** Milliseconds after which a request to the desk is given up. 14 000 by default, which is what grace allows. */
    readonly patience?: number;
}
/** What a person types in. */
export interface SignIn {
    readonly email: string;
    readonly password: string;
    /** `false`: the cookies end with the browser. */
    readonly remember?: boolean;
}
/** Nothing is known yet: the desk has not been asked, or could not be. Draw neither the one nor the other. */
export interface Unknown {
    readonly status: "unknown";
}
/** Somebody is signed in. `subject` says who, `session` is the public id of this sign-in. */
export interface SignedIn {
    readonly status: "signed-in";
    readonly subject: string;
    readonly session: string;
}
/** Nobody is. `reason` is the code of the refusal, or `signed_out`. */
export interface SignedOut {
    readonly status: "signed-out";
    readonly reason: string;
}
/**
 * Somebody else was signed in elsewhere in this browser, while this tab still belonged to `previous`. Nothing is sent
 * until `acknowledge()`, a sign-in, or a reload.
 */
export interface Changed {
    readonly status: "changed";
    readonly subject: string;
    readonly session: string;
    readonly previous: string;
}
/** Who is signed in, as far as this tab knows. The objects are frozen; a new one comes with each change. */
export type State = Unknown | SignedIn | SignedOut | Changed;
/** The principal: the answer of `GET /auth/me`. */
export interface Me {
    readonly subject: string;
    readonly session_id: string;
    readonly auth_time: string;
    readonly amr: readonly string[];
    readonly scope: readonly string[];
    readonly roles: readonly string[];
    readonly claims: Readonly<Record<string, unknown>>;
    readonly credential: Credential;
    readonly realm: string;
}
/** Called after each change, with the state and the one before. */
export type Listener = (state: State, before: State) => void;
/** What `createClient` and `createServerClient` have in common. Its functions may be taken off it. */
export interface Requests {
    /** Who is signed in, as far as is known. */
    readonly state: State;
    /** `fetch`, signed: see the rules in docs/browser-client.md. */
    readonly fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>;
    /** Asks the desk who is signed in; null for nobody. Throws when it cannot be asked. */
    readonly me: () => Promise<Me | null>;
}
/** A client in a tab or a worker. */
export interface Client extends Requests {
    /**
     * Signs in, by address and password or by a request of your own to a route that calls `desk.sign_in`. Throws a
     * `FrontdeskError`, for example with `code` `invalid_credentials` or `too_many_attempts`.
     */
    readonly signIn: (how: SignIn | (() => Promise<Response>)) => Promise<SignedIn>;
    /** Ends the session, everywhere. Throws when the desk did not say that it has ended. */
    readonly signOut: () => Promise<void>;
    /** Asks for a fresh access token now, unless another tab just did; the state afterwards. */
    readonly refresh: () => Promise<State>;
    /** Hears of every change. Returns the function that ends this. */
    readonly onChange: (listener: Listener) => () => void;
    /** From `changed` to `signed-in`: what this tab shows belongs to the new subject now. */
    readonly acknowledge: () => void;
    /** Listens no more. */
    readonly close: () => void;
}
/** Headers of the request that a page is rendered for: of `Request`, or of Node's `IncomingMessage`. */
export type IncomingHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
/** How a client for one request that is rendered on a server is made. */
export interface ServerOptions {
    /** The whole address of the API, such as `https://desk.example/auth`. */
    readonly base: string | URL;
    /** The headers of the request that is being answered. */
    readonly headers: IncomingHeaders;
    readonly transport?: Transport;
    readonly origins?: readonly string[];
    readonly patience?: number;
}
/** A client for one request that is rendered on a server. */
export interface ServerClient extends Requests {
    /** Values of `Set-Cookie` for the answer to the browser, in order. Never drop them, and never let them be cached. */
    readonly setCookies: readonly string[];
}
