/** A problem document (RFC 9457) of the desk. `code` is stable. */
export interface Problem {
    readonly type: string;
    readonly title: string;
    readonly status: number;
    readonly code: string;
    readonly detail?: string;
    readonly [member: string]: unknown;
}
/**
 * Why something could not be done.
 *
 * `code` is that of the desk's refusal (docs/errors.md), or one of the client's own: `network_error`, `timeout`,
 * `answer_invalid` (no answer of a desk), `subject_changed`, `redirect_refused`. `status` is that of the answer, 0
 * where there was none. No message holds a credential.
 */
export declare class FrontdeskError extends Error {
    readonly code: string;
    readonly status: number;
    readonly problem: Problem | undefined;
    /** Seconds to wait before the next attempt, where the desk said so. */
    readonly retryAfter: number | undefined;
    constructor(code: string, message: string, status?: number, problem?: Problem, retryAfter?: number, cause?: unknown);
}
/** The refusals after which this sign-in is over, or was none. */
export declare const OVER: ReadonlySet<string>;
/** The code of a 401 of the desk; undefined for every other answer. Leaves the body to be read. */
export declare function refusalOf(response: Response): Promise<string | undefined>;
/** An answer that is no success, as an error. Reads the body. */
export declare function errorOf(response: Response): Promise<FrontdeskError>;
