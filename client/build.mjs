// Checks the types and writes `frontdesk.js` and its declarations: `node build.mjs [directory]`, by default `lib`.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const into = resolve(process.argv[2] ?? join(here, "lib"));
const { version } = createRequire(import.meta.url)("./package.json");

rmSync(into, { recursive: true, force: true });
const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
const checked = spawnSync(process.execPath, [tsc, "--project", here, "--outDir", into], { stdio: "inherit" });
if (checked.status !== 0) process.exit(checked.status ?? 1);
await build({
  absWorkingDir: here,
  entryPoints: ["src/index.ts"],
  outfile: join(into, "frontdesk.js"),
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  charset: "ascii",
  minify: true,
  legalComments: "none",
  banner: { js: `/* @frontdesk/client ${version}, Apache-2.0: docs/browser-client.md */` },
});
