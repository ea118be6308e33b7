// A client of /api/live on the npm package `ws`.
//
//     ADVISOR_TEST_NODE_PEERS=… node socket_client.mjs URL [ORIGIN]
//
// Each line of its input is a message to the server; what happens comes out as one line of JSON each.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { WebSocket } = createRequire(`${process.env.ADVISOR_TEST_NODE_PEERS}/package.json`)("ws");
const [url, origin] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const socket = new WebSocket(url, { origin });
socket.on("open", () => {
  tell({ open: socket.extensions });
  createInterface({ input: process.stdin }).on("line", (line) => socket.send(line));
});
socket.on("message", (data, isBinary) => tell({ message: JSON.parse(data), isBinary }));
socket.on("ping", () => tell({ ping: true }));
socket.on("unexpected-response", (request, response) => {
  tell({ refused: response.statusCode });
  process.exit();
});
socket.on("close", (code, reason) => {
  tell({ close: code, reason: reason.toString() });
  process.exit();
});
socket.on("error", (error) => tell({ error: error.message }));
