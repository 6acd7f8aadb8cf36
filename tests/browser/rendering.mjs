// Renders as a server would: reads one order from stdin, acts with the client that was built, says what came of it.
import { createClient, createServerClient, FrontdeskError } from "../../client/lib/frontdesk.js";
import { text } from "node:stream/consumers";

const before = Object.keys(globalThis).length;
const inert = createClient();
const order = JSON.parse(await text(process.stdin));
const desk = createServerClient(order.options);
const said = (error) => (error instanceof FrontdeskError ? error.code : `${error.name}: ${error.message}`);
const done = [];
for (const [what, ...given] of order.steps) {
  if (what === "me") done.push(await desk.me().then((me) => me && me.subject, said));
  if (what === "fetch") done.push(await desk.fetch(...given).then((answer) => answer.status, said));
  if (what === "stream") {
    const init = { method: "POST", duplex: "half", body: new Blob(["hello"]).stream() };
    done.push(await desk.fetch(given[0], init).then((answer) => answer.status, said));
  }
  if (what === "together") done.push(await Promise.all(given.map((path) => desk.fetch(path).then((answer) => answer.status, said))));
}
const { state, setCookies } = desk;
const nowhere = { state: inert.state, me: await inert.me().catch((error) => error.name) };
console.log(JSON.stringify({ done, state, setCookies, nowhere, globals: Object.keys(globalThis).length - before }));
