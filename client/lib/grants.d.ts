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
/** The grant in an answer of `/login` or `/refresh` whose request was sent at `sent`; undefined if there is none. */
export declare function grantOf(body: unknown, sent: number, now: number): Grant | undefined;
/** What another tab says, if it has the shape of a grant. */
export declare function readGrant(value: unknown): Grant | undefined;
/**
 * Tells when a grant is due. Whichever clock has moved further decides: the monotonic one stands still while some
 * machines sleep, the other may be set back.
 */
export declare class Alarm {
    #private;
    constructor(due: number | undefined);
    get rings(): boolean;
}
