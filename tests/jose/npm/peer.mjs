// Does with npm's jose what each line of standard input asks for, and answers with one line of JSON.
// The argument is the directory that holds node_modules.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const jose = createRequire(`${process.argv[2]}/`)("jose");
const bytes = (text) => new TextEncoder().encode(text);
const text = (octets) => new TextDecoder().decode(octets);

const work = {
  sign: async ({ header, claims, key }) =>
    new jose.SignJWT(claims).setProtectedHeader(header).sign(await jose.importJWK(key, header.alg)),
  verify: async ({ token, key, alg, now, ...policy }) => {
    const options = { ...policy, algorithms: [alg], currentDate: new Date(now) };
    const found = await jose.jwtVerify(token, await jose.importJWK(key, alg), options);
    return { header: found.protectedHeader, claims: found.payload };
  },
  encrypt: async ({ header, plaintext, key }) =>
    new jose.CompactEncrypt(bytes(plaintext)).setProtectedHeader(header).encrypt(await jose.importJWK(key, header.alg)),
  decrypt: async ({ token, key, alg }) => {
    const found = await jose.compactDecrypt(token, await jose.importJWK(key, alg));
    return { header: found.protectedHeader, plaintext: text(found.plaintext) };
  },
  thumbprint: async ({ key }) => jose.calculateJwkThumbprint(key),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = { done: await work[asked.do](asked) };
  } catch (error) {
    answer = { refused: error.code ?? error.name };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
