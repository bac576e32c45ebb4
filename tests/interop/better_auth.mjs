// A real Better Auth server on a free loopback port, for tests.
//
// It prints one line of JSON, {"url": ...}, when it is ready, and ends with its standard input.
// The environment says how it makes JWTs; better_auth.py tells what each variable means.
// Beside Better Auth's routes there are two for the tests:
//   POST /keys/rotate  a new key signs from now on; the old one stays published
//   POST /keys/revoke  all keys are gone, and so what they signed is good no more
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { admin, jwt } from "better-auth/plugins";
import { SignJWT } from "jose";

const { JWKS_ALGORITHM, HS256_SECRET, AUDIENCE, EXPIRATION_TIME, ADMIN_EMAIL } = process.env;
const tables = { user: [], session: [], account: [], verification: [], jwks: [] };

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}`;

const auth = betterAuth({
  baseURL: url,
  secret: crypto.randomUUID() + crypto.randomUUID(),
  database: memoryAdapter(tables),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  databaseHooks: { user: { create: { before: withRole } } },
  plugins: [admin(), jwt({ jwks: keyOptions(), jwt: tokenOptions() })],
});
const ownRoutes = { "/keys/rotate": rotateKeys, "/keys/revoke": revokeKeys };
const betterAuthRoutes = toNodeHandler(auth);
server.on("request", (request, response) =>
  (ownRoutes[request.url] ?? betterAuthRoutes)(request, response),
);

process.stdin.resume().on("end", () => process.exit());
console.log(JSON.stringify({ url }));

function keyOptions() {
  // With a signer of its own the plugin publishes no keys, and wants to know where else they are.
  if (HS256_SECRET) return { remoteUrl: `${url}/none`, keyPairConfig: { alg: "EdDSA" } };
  return JWKS_ALGORITHM ? { keyPairConfig: { alg: JWKS_ALGORITHM } } : {};
}

function tokenOptions() {
  return {
    ...(AUDIENCE && { audience: AUDIENCE }),
    ...(EXPIRATION_TIME && { expirationTime: EXPIRATION_TIME }),
    ...(HS256_SECRET && { sign: signWithSharedSecret }),
  };
}

function signWithSharedSecret(claims) {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(Buffer.from(HS256_SECRET, "base64"));
}

async function withRole(user) {
  return { data: { ...user, role: user.email === ADMIN_EMAIL ? "admin" : "user" } };
}

function rotateKeys(_, response) {
  // What the plugin's rotationInterval leads to, without the wait: it makes a key when the newest
  // one is over, and shows the old one for its grace period of 30 days.
  for (const key of tables.jwks) key.expiresAt = new Date(Date.now() - 1);
  response.writeHead(204).end();
}

function revokeKeys(_, response) {
  tables.jwks.length = 0;
  response.writeHead(204).end();
}
