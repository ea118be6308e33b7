// What Clerk's own backend (`@clerk/backend`) says to tokens.
//   clerk_tokens.mjs make ISSUER PARTY     makes a key and tokens, good and bad, and judges them
//   clerk_tokens.mjs judge PEM TOKEN…      judges tokens by a key, public or private
import { createPublicKey, createSign, generateKeyPairSync } from "node:crypto";
import { peer } from "./peer.mjs";

const { verifyToken } = await peer("@clerk/backend");
const [, , order, ...given] = process.argv;

async function accepts(token, options) {
  try {
    await verifyToken(token, options);
    return true;
  } catch {
    return false;
  }
}

const publicPem = (key) => createPublicKey(key).export({ type: "spki", format: "pem" });

async function make(issuer, party) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const now = Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (claims = {}, header = {}, key = privateKey, hash = "RSA-SHA256") => {
    const all = {
      iss: issuer, sub: "user_ana", sid: "sess_1", azp: party, iat: now, nbf: now - 10, exp: now + 600, ...claims,
    };
    const signed = `${encode({ alg: "RS256", typ: "JWT", kid: "ins_1", ...header })}.${encode(all)}`;
    return `${signed}.${createSign(hash).update(signed).sign(key).toString("base64url")}`;
  };
  const good = token();
  const [head, body, signature] = good.split(".");
  const tokens = {
    good,
    "good, with more claims": token({ v: 2, fva: [0, -1], sts: "active", public_metadata: { plan: "premium" } }),
    "good, of another person": token({ sub: "user_2xKpW9mQvR4tYbNc" }),
    "good, without a type": token({}, { typ: undefined }),
    "no token": "x",
    "two parts": `${head}.${body}`,
    "four parts": `${good}.x`,
    "no signature": `${head}.${body}.`,
    "another signature": `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`,
    "other claims": `${head}.${encode({ sub: "user_eve" })}.${signature}`,
    "somebody else's key": token({}, {}, stranger),
    "alg none": `${encode({ alg: "none", typ: "JWT" })}.${body}.`,
    "alg none, signed": token({}, { alg: "none" }),
    "alg HS256": token({}, { alg: "HS256" }),
    "alg RS512": token({}, { alg: "RS512" }, privateKey, "RSA-SHA512"),
    "another type": token({}, { typ: "at+jwt" }),
    expired: token({ exp: now - 60 }),
    "of the future": token({ nbf: now + 60 }),
    "issued in the future": token({ iat: now + 60 }),
    "no end": token({ exp: undefined }),
    "an end that is a text": token({ exp: `${now + 60}` }),
    "another issuer": token({ iss: "https://clerk.evil.example" }),
    "no issuer": token({ iss: undefined }),
    "another party": token({ azp: `${party}.evil.example` }),
    "no party": token({ azp: undefined }),
    "no subject": token({ sub: undefined }),
    "a list of subjects": token({ sub: ["user_ana"] }),
    // Where this project is stricter.
    "stricter: no session": token({ sid: undefined }),
    "stricter: no beginning": token({ nbf: undefined }),
    "stricter: an audience": token({ aud: "convex" }),
    "stricter: an end in ten years": token({ exp: now + 10 * 365 * 86400 }),
    "stricter: a subject with a star": token({ sub: "user_*" }),
    "stricter: its own key": token({}, { jwk: publicKey.export({ format: "jwk" }) }),
    "stricter: an unknown extension": token({}, { crit: ["x"], x: 1 }),
  };
  const options = { jwtKey: publicPem(privateKey), issuer, authorizedParties: [party] };
  const judged = Object.entries(tokens).map(async ([name, token]) => ({ name, token, accepted: await accepts(token, options) }));
  return { pem: options.jwtKey, tokens: await Promise.all(judged) };
}

const judge = async (pem, ...tokens) => Promise.all(tokens.map((token) => accepts(token, { jwtKey: publicPem(pem) })));

console.log(JSON.stringify(await { make, judge }[order](...given)));
