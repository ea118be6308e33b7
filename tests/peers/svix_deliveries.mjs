// Signs a delivery as Clerk does (`svix`), changes it in every way, and says which of them Svix itself accepts.
//   svix_deliveries.mjs SECRET OTHER_SECRET BODY
import { peer } from "./peer.mjs";

const { Webhook } = await peer("svix");
const [, , secret, otherSecret, body] = process.argv;
const now = Math.floor(Date.now() / 1000);
const sign = (id, seconds, text = body, by = secret) => new Webhook(by).sign(id, new Date(seconds * 1000), text);

const id = "msg_1";
const signature = sign(id, now);
const bare = signature.slice("v1,".length);
const foreign = sign(id, now, body, otherSecret);
const delivery = (changes = {}, text = body) => ({
  headers: { "svix-id": id, "svix-timestamp": `${now}`, "svix-signature": signature, ...changes },
  body: text,
});
const sentAt = (seconds) => delivery({ "svix-timestamp": `${seconds}`, "svix-signature": sign(id, seconds) });

const deliveries = {
  good: delivery(),
  "good, after a foreign one": delivery({ "svix-signature": `${foreign} ${signature}` }),
  "good, before a foreign one": delivery({ "svix-signature": `${signature} ${foreign}` }),
  "good, among other schemes": delivery({ "svix-signature": `v1a,${bare} v0,x ${signature}` }),
  "good, sent a while ago": sentAt(now - 240),
  "good, sent by a fast clock": sentAt(now + 240),
  "good, another delivery": delivery({ "svix-id": "msg_2", "svix-signature": sign("msg_2", now) }),
  "another secret's": delivery({ "svix-signature": foreign }),
  "a space more": delivery({}, `${body} `),
  "serialised anew": delivery({}, JSON.stringify(JSON.parse(body), null, 1)),
  "no body": delivery({}, ""),
  "another id": delivery({ "svix-id": "msg_2" }),
  "another time": delivery({ "svix-timestamp": `${now - 1}` }),
  "too old": sentAt(now - 330),
  "too new": sentAt(now + 330),
  "no time": delivery({ "svix-timestamp": "soon" }),
  "a negative time": sentAt(-now),
  "another scheme alone": delivery({ "svix-signature": `v1a,${bare}` }),
  "no scheme": delivery({ "svix-signature": bare }),
  "an old scheme": delivery({ "svix-signature": `v0,${bare}` }),
  "no base64": delivery({ "svix-signature": "v1,***" }),
  "base64 without its end": delivery({ "svix-signature": `v1,${bare.replace(/=+$/, "")}` }),
  "half a signature": delivery({ "svix-signature": signature.slice(0, 20) }),
  "an empty signature": delivery({ "svix-signature": "v1," }),
  "no id": delivery({ "svix-id": undefined }),
  "no timestamp": delivery({ "svix-timestamp": undefined }),
  "no signature": delivery({ "svix-signature": undefined }),
};

function accepts({ headers, body }) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

const judged = Object.entries(deliveries).map(([name, delivery]) => ({ name, ...delivery, accepted: accepts(delivery) }));
console.log(JSON.stringify(judged));
