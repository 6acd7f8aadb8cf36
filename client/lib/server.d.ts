import type { ServerClient, ServerOptions } from "./types.js";
/**
 * A client for one request whose page is rendered on a server: acts with the cookies that came along, and collects
 * those that are to go back. Make one for each request; nothing is shared between them.
 */
export declare function createServerClient(options: ServerOptions): ServerClient;
