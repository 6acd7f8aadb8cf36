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
export class FrontdeskError extends Error {
  readonly code: string;
  readonly status: number;
  readonly problem: Problem | undefined;
  /** Seconds to wait before the next attempt, where the desk said so. */
  readonly retryAfter: number | undefined;

  constructor(code: string, message: string, status = 0, problem?: Problem, retryAfter?: number, cause?: unknown) {
    super(message, { cause });
    this.name = "FrontdeskError";
    this.code = code;
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** The refusals after which this sign-in is over, or was none. */
export const OVER: ReadonlySet<string> = new Set([
  "not_signed_in",
  "session_ended",
  "session_expired",
  "session_idle",
  "session_replaced",
  "refresh_reused",
  "store_rolled_back",
  "credential_invalid",
  "credential_malformed",
  "transport_mismatch",
]);

const CHALLENGE = /^Bearer realm="frontdesk".*\berror_description="([a-z_]+)"/;

/** The code of a 401 of the desk; undefined for every other answer. Leaves the body to be read. */
export async function refusalOf(response: Response): Promise<string | undefined> {
  if (response.status !== 401) return undefined;
  const challenged = CHALLENGE.exec(response.headers.get("www-authenticate") ?? "");
  return challenged?.[1] ?? (await problemOf(response.clone()))?.code;
}

/** An answer that is no success, as an error. Reads the body. */
export async function errorOf(response: Response): Promise<FrontdeskError> {
  const problem = await problemOf(response);
  const said = Number(response.headers.get("retry-after") ?? problem?.["retry_after"]);
  const wait = said > 0 ? said : undefined;
  const code = problem?.code ?? "answer_invalid";
  const sentence = problem?.title ?? `The answer ${response.status} is not one of a desk.`;
  return new FrontdeskError(code, sentence, response.status, problem, wait);
}

async function problemOf(response: Response): Promise<Problem | undefined> {
  if (!response.headers.get("content-type")?.startsWith("application/problem+json")) return undefined;
  const found: unknown = await response.json().catch(() => undefined);
  return isProblem(found) ? found : undefined;
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== "object" || value === null) return false;
  const found = value as Record<string, unknown>;
  return typeof found["code"] === "string" && typeof found["title"] === "string";
}
