// The npm package jose: each line of JSON on standard input asks for something, each line on
// standard output is the answer.
import { createInterface } from "node:readline";
import {
  SignJWT,
  calculateJwkThumbprint,
  createRemoteJWKSet,
  exportJWK,
  generateKeyPair,
  generateSecret,
  importJWK,
  jwtVerify,
} from "jose";

const questions = { makeKey, sign, verify };
const privateKeys = new Map();
const remoteSets = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const { question, ...details } = JSON.parse(line);
  console.log(JSON.stringify(await questions[question](details)));
}

// The answer is what a verifier needs: the public key or the shared secret, as a JWK.
async function makeKey({ algorithm }) {
  const options = { extractable: true };
  const pair = algorithm.startsWith("HS")
    ? await generateSecret(algorithm, options).then((key) => ({ publicKey: key, privateKey: key }))
    : await generateKeyPair(algorithm, options);
  const jwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  privateKeys.set(kid, pair.privateKey);
  return { ...jwk, kid, alg: algorithm, use: "sig" };
}

async function sign({ header, claims }) {
  const token = new SignJWT(claims).setProtectedHeader(header);
  return { token: await token.sign(privateKeys.get(header.kid)) };
}

async function verify({ token, jwk, jwksUrl, options }) {
  const keys = jwk ? await importJWK(jwk) : remoteSet(jwksUrl);
  try {
    return { claims: (await jwtVerify(token, keys, options)).payload };
  } catch (error) {
    return { refused: error.code };
  }
}

function remoteSet(url) {
  if (!remoteSets.has(url)) remoteSets.set(url, createRemoteJWKSet(new URL(url)));
  return remoteSets.get(url);
}
