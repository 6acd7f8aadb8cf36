import type { Client, ClientOptions } from "./types.js";
/** A refresh is given up after so long: two of them and the difference of clocks stay below grace. */
export declare const PATIENCE = 14000;
/** A client for a tab or a worker. Nothing is sent before it is used. */
export declare function createClient(options?: ClientOptions): Client;
