// Makes lib/api-types.ts from the backend's OpenAPI; with --check it only tells whether it is current.
// The backend is imported, not run: PYTHON names an interpreter that has the library installed.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS from "openapi-typescript";

const target = new URL("../lib/api-types.ts", import.meta.url);
const repository = new URL("../../../", import.meta.url);
const script =
  "import json; from examples.fullstack.main import app; print(json.dumps(app.openapi()))";

const openapi = JSON.parse(
  execFileSync(process.env.PYTHON ?? "python3", ["-c", script], {
    cwd: repository,
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  }),
);
const types = await openapiTS(openapi, {
  commentHeader: "// Made by `npm run types` from the backend's OpenAPI. Do not edit.\n\n",
  defaultNonNullable: false,
});

if (!process.argv.includes("--check")) {
  writeFileSync(target, types);
} else if (readFileSync(target, "utf8") !== types) {
  console.error("lib/api-types.ts is not current: npm run types");
  process.exit(1);
}
