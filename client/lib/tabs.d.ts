import { type Grant } from "./grants.js";
/** What tabs tell each other. `in`: somebody is signed in; `out`: no longer; `want`: who has a token since then? */
export type Message = {
    readonly kind: "in";
    readonly grant: Grant;
} | {
    readonly kind: "out";
    readonly session: string | undefined;
    readonly reason: string;
    readonly at: number;
} | {
    readonly kind: "want";
    readonly since: number;
};
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
export declare const ALONE: Tabs;
/**
 * Tabs that meet by Web Locks and talk by BroadcastChannel; either may be missing.
 *
 * Locks and messages arrive in no particular order, so who gets the lock after another tab cannot tell from messages
 * whether that tab has refreshed. It can tell from the locks themselves: a grant is noted as the *name* of a further
 * lock, held for some seconds. A name holds no secret: who, which session, when.
 */
export declare class BrowserTabs implements Tabs {
    #private;
    constructor(name: string, hear: (message: Message) => void);
    get talk(): boolean;
    open(): void;
    tell(message: Message): void;
    exclusively<T>(work: () => Promise<T>): Promise<T>;
    note(grant: Grant): Promise<void>;
    noted(): Promise<Grant | undefined>;
    /** Holds nothing that would keep the page out of the back/forward cache. */
    close(): void;
}
