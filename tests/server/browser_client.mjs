// A tab without a browser: the client that was built signs in, asks, is refused and fails; all that it says is printed.
// What the desk gave it is written on standard error, for whoever looks whether it was said.
import { text } from "node:stream/consumers";
import { inspect } from "node:util";
import { createClient } from "../../client/lib/frontdesk.js";

const { url, email, password, leaky } = JSON.parse(await text(process.stdin));
const given = [];
const jar = new Map();
const send = globalThis.fetch;
globalThis.location = new URL(url);
globalThis.fetch = async (input, init) => {
  const request = new Request(input, init);
  if (jar.size) request.headers.set("cookie", [...jar].map((pair) => pair.join("=")).join("; "));
  if (leaky) console.debug(inspect(await request.clone().text()), request.headers);
  const answer = await send(request);
  for (const line of answer.headers.getSetCookie()) {
    const [name, value] = line.split(";", 1)[0].split("=");
    jar.set(name, value);
    if (value) given.push(value);
  }
  const body = await answer.clone().json().catch(() => ({}));
  if (body.access_token) given.push(body.access_token);
  return answer;
};

const shown = (value) => console.log(inspect(value, { depth: 9, showHidden: true }), JSON.stringify(value), `${value?.stack}`);
const tried = (act) => act().then(shown, shown);
for (const transport of ["cookie", "bearer"]) {
  const client = createClient({ base: `${url}/auth`, transport });
  client.onChange((state, before) => shown([state, before]));
  await tried(() => client.signIn({ email, password: `${password}!` }));
  await tried(() => client.signIn({ email, password }));
  await tried(() => client.me());
  await tried(() => client.fetch("/auth/me"));
  await tried(() => client.fetch("/auth/nowhere", { method: "POST", body: password }));
  await tried(() => client.refresh());
  shown(client);
  await tried(() => client.signOut());
  await tried(() => client.fetch("/auth/me"));
  client.close();
  const gone = createClient({ base: "http://127.0.0.1:1/auth", transport });
  await tried(() => gone.signIn({ email, password }));
  gone.close();
}
console.error(given.join("\n"));
process.exit(); // what a client would still wait for does not matter
