export { createClient } from "./client.js";
export { FrontdeskError, type Problem } from "./errors.js";
export { createServerClient } from "./server.js";
export type {
  Changed,
  Client,
  ClientOptions,
  Credential,
  IncomingHeaders,
  Listener,
  Me,
  Requests,
  ServerClient,
  ServerOptions,
  SignedIn,
  SignedOut,
  SignIn,
  State,
  Transport,
  Unknown,
} from "./types.js";
