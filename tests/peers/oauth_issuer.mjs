// An issuer of tokens (`oauth2-mock-server`) that does what it is told: an order a line of stdin, an answer a line.
//   {"do": "start"} its URL   {"do": "add_key", "kid"} {"do": "token", "kid", "claims"} a token   {"do": "stop"}
import { createInterface } from "node:readline";
import { peer } from "./peer.mjs";

const { OAuth2Server } = await peer("oauth2-mock-server");
const server = new OAuth2Server();
let url, port;

const orders = {
  async start() {
    await server.start(port ?? 0, "127.0.0.1");
    port = server.address().port;
    url = server.issuer.url;
    return { url, keys: `${url}/jwks` };
  },
  async stop() {
    await server.stop();
    // It goes on to sign, as one does that only can't be reached.
    server.issuer.url = url;
    return {};
  },
  async add_key({ kid }) {
    await server.issuer.keys.generate("RS256", { kid });
    return {};
  },
  async token({ kid, claims }) {
    const scopesOrTransform = (_, payload) => Object.assign(payload, claims);
    return { token: await server.issuer.buildToken({ kid, scopesOrTransform, expiresIn: 60 }) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  console.log(JSON.stringify(await orders[order.do](order)));
}
process.exit(0);
