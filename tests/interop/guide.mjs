// Runs the Next.js files of the guide to Better Auth, which lie in the folder that GUIDE names.
//
// It prints {"url": ...} when it is ready, and is told to "use" an API at another one. Asked to "call" the API with a cookie, it does so as a
// page in a browser would; asked to "sign", it returns a JWT of the plugin with a shared secret.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { betterAuth } from "better-auth";

const { GUIDE } = process.env;
const load = (file) => import(`${GUIDE}/${file}`);

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}`;
process.env.BETTER_AUTH_URL = url;
process.env.BETTER_AUTH_SECRET = crypto.randomUUID() + crypto.randomUUID();

const route = await load("app/api/auth/[...all]/route.js");
server.on("request", async (incoming, outgoing) => {
  const body = incoming.method === "POST" ? incoming : undefined;
  const request = new Request(url + incoming.url, {
    method: incoming.method,
    headers: incoming.headers,
    body,
    duplex: "half",
  });
  const response = await route[incoming.method](request);
  outgoing.writeHead(response.status, [...response.headers].flat());
  outgoing.end(Buffer.from(await response.arrayBuffer()));
});
console.log(JSON.stringify({ url }));

const tasks = { use, call, sign };
for await (const line of createInterface({ input: process.stdin })) {
  const { question, ...details } = JSON.parse(line);
  console.log(JSON.stringify(await tasks[question](details)));
}
process.exit();

function use({ api }) {
  process.env.NEXT_PUBLIC_API_URL = api;
  return {};
}

async function call({ cookie, path, method }) {
  const { callApi, forgetToken } = await load("lib/api.js");
  const fetch = globalThis.fetch;
  // What a browser does for a page of the site: relative addresses, and its cookies.
  globalThis.fetch = (target, options) =>
    target.startsWith("/") ? fetch(url + target, { headers: { cookie } }) : fetch(target, options);
  try {
    const answer = await callApi(path, { method });
    return { status: answer.status, body: await answer.json() };
  } finally {
    globalThis.fetch = fetch;
    forgetToken();
  }
}

async function sign({ issuer }) {
  const { jwtPlugin } = await load("lib/shared-secret.js");
  const { database } = await load("lib/database.js");
  const auth = betterAuth({
    baseURL: issuer,
    secret: process.env.BETTER_AUTH_SECRET,
    database,
    emailAndPassword: { enabled: true },
    telemetry: { enabled: false },
    plugins: [jwtPlugin],
  });
  const body = { email: "eve@example.com", password: "correct horse battery", name: "Eve" };
  const { headers } = await auth.api.signUpEmail({ body, returnHeaders: true });
  const cookie = headers.get("set-cookie").split(";")[0];
  return auth.api.getToken({ headers: new Headers({ cookie }) });
}
