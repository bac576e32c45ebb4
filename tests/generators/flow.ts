// Signs in, refreshes and signs out with a client that @hey-api/openapi-ts generated; prints what
// happened as JSON.

import { getMe, login, logout, refresh, register } from "./generated";
import { client } from "./generated/client.gen";

declare const process: { argv: string[] };
const [baseUrl, email, password] = process.argv.slice(2) as [string, string, string];

let accessToken: string | undefined;
client.setConfig({ baseUrl, auth: () => accessToken });

async function flow() {
  const body = { email, password };
  const registered = await register({ body, throwOnError: true });
  const signedIn = await login({ body, throwOnError: true });
  accessToken = signedIn.data.access_token;
  const before = await getMe({ throwOnError: true });
  const refreshed = await refresh({
    body: { refresh_token: signedIn.data.refresh_token },
    throwOnError: true,
  });
  accessToken = refreshed.data.access_token;
  const after = await getMe({ throwOnError: true });
  const signedOut = await logout();
  const gone = await getMe();
  return {
    statuses: [
      registered.response.status,
      signedIn.response.status,
      before.response.status,
      refreshed.response.status,
      after.response.status,
      signedOut.response?.status,
      gone.response?.status,
    ],
    email: after.data.email,
    code: gone.error && "detail" in gone.error ? gone.error.detail.code : null,
  };
}

flow().then((result) => console.log(JSON.stringify(result)));
