import { PATIENCE } from "./client.js";
import { Desk } from "./desk.js";
import { Reach, SAFE } from "./requests.js";
import { ALONE } from "./tabs.js";
import type { IncomingHeaders, ServerClient, ServerOptions } from "./types.js";

/** What tells the desk who started an unsafe request: without it a server would act with cookies for any other site. */
const STARTED_BY = ["origin", "sec-fetch-site"];

/**
 * A client for one request whose page is rendered on a server: acts with the cookies that came along, and collects
 * those that are to go back. Make one for each request; nothing is shared between them.
 */
export function createServerClient(options: ServerOptions): ServerClient {
  const { base, headers, transport = "cookie", origins = [], patience = PATIENCE } = options;
  const reach = new Reach(base, origins);
  const jar = readCookies(incoming(headers, "cookie"));
  const setCookies: string[] = [];
  const home = new URL(reach.base);
  // Cookies belong to a host, whatever its port: as in a browser, no other is shown them, and none sets them.
  const isHome = (address: string): boolean => {
    const url = new URL(address);
    return reach.covers(url) && url.protocol === home.protocol && url.hostname === home.hostname;
  };
  const send = async (input: RequestInfo | URL, init: RequestInit | undefined, signed: boolean): Promise<Response> => {
    if (!signed) return globalThis.fetch(input, init);
    const request = new Request(input, init);
    if (!isHome(request.url)) return globalThis.fetch(request);
    if (jar.size > 0) request.headers.set("cookie", [...jar].map(([name, value]) => `${name}=${value}`).join("; "));
    if (!SAFE.has(request.method) && request.url !== `${reach.base}/refresh`) {
      for (const name of STARTED_BY) {
        const value = incoming(headers, name);
        if (value !== undefined && !request.headers.has(name)) request.headers.set(name, value);
      }
    }
    const response = await globalThis.fetch(request);
    if (!isHome(response.url || request.url)) return response; // a redirect was followed, since the caller said so
    for (const cookie of response.headers.getSetCookie()) {
      setCookies.push(cookie);
      keep(jar, cookie);
    }
    return response;
  };
  const around = { reach, transport, credential: undefined, patience, send, held: true, jar: false };
  const desk = new Desk(around, () => ALONE);
  return Object.freeze({
    get state() {
      return desk.state;
    },
    fetch: desk.fetch.bind(desk),
    me: desk.me.bind(desk),
    setCookies,
  });
}

function incoming(headers: IncomingHeaders, name: string): string | undefined {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  return (typeof value === "object" ? value?.join("; ") : value) ?? undefined;
}

/** Cookies by name, in their order; a name that came twice stays as it came, for the desk to refuse. */
function readCookies(header: string | undefined): Map<string, string> {
  const jar = new Map<string, string>();
  for (const pair of header?.split(";") ?? []) {
    const [name = "", ...value] = pair.trim().split("=");
    if (name) jar.set(name, jar.has(name) ? `${jar.get(name)}; ${name}=${value.join("=")}` : value.join("="));
  }
  return jar;
}

function keep(jar: Map<string, string>, cookie: string): void {
  const [pair = "", ...attributes] = cookie.split(";");
  const [name = "", ...value] = pair.trim().split("=");
  const gone = attributes.some((attribute) => /^\s*max-age\s*=\s*0*\s*$/i.test(attribute));
  if (gone) jar.delete(name);
  else jar.set(name, value.join("="));
}
