// Opens the page of docs/clients.md as a person does, while the server is killed and started again.
// Arguments: the folder with the page, a profile directory. Speaks with the test by lines of JSON.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { open } from "./browser.mjs";

const [folder, profile] = process.argv.slice(2);
const said = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (what) => console.log(JSON.stringify(what));

const types = { html: "text/html", js: "text/javascript", txt: "text/plain" };
const site = createServer((request, response) => {
  const file = request.url === "/" ? "index.html" : request.url.slice(1);
  response.setHeader("content-type", types[file.split(".").pop()] ?? "application/octet-stream");
  response.end(readFileSync(`${folder}/${file}`));
});
await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${site.address().port}`;
tell({ origin });
await said.next(); // The server runs, and the page knows its address.

const { browser, page } = await open(profile);
// What the page's streams carry is kept beside it.
await page.addInitScript(() => {
  window.streams = [];
  const fetched = window.fetch;
  window.fetch = async (address, options) => {
    const answer = await fetched(address, options);
    if (!String(address).includes("/api/live")) return answer;
    const [kept, given] = answer.body.tee();
    const stream = { address: String(address), resumed: options.headers["last-event-id"] ?? null, text: "" };
    window.streams.push(stream);
    const reader = kept.pipeThrough(new TextDecoderStream()).getReader();
    (async () => {
      for (let piece; !(piece = await reader.read()).done; ) stream.text += piece.value;
    })().catch(() => {});
    return new Response(given, { status: answer.status });
  };
});
await page.goto(origin);
await page.waitForSelector("#conversations >> text=New Conversation: nothing yet");
// The same functions once more, to look into their state.
await page.evaluate(async () => {
  const { live } = await import("./live.js");
  const { origin, searchParams } = new URL(window.streams[0].address);
  const token = async () => (await (await fetch("token.txt")).text()).trim();
  window.texts = [];
  live(origin, token, searchParams.getAll("query"), (state) => {
    window.state = state;
    for (const { text } of Object.values(state.drafts)) if (window.texts.at(-1) !== text) window.texts.push(text);
  });
  // A newer conversation comes to the top.
  const headers = { authorization: `Bearer ${await token()}`, "content-type": "application/json" };
  await fetch(`${origin}/api/commands/StartConversation`, { method: "POST", headers, body: '{"title":"Another"}' });
});
await page.waitForSelector("#conversations li:first-child >> text=Another: nothing yet");
await page.waitForFunction(() => Object.keys(window.state?.data ?? {}).length === 2);

await page.click("button");
await page.waitForSelector("#messages >> text=/^streaming: This is/");
tell({ streaming: await page.textContent("#messages li:last-child") });
await said.next(); // The server was killed and runs again.

await page.waitForSelector("#messages >> text=/^advisor: This is/");
await page.waitForFunction(() => Object.values(window.state.data).every((data) => !data.replies?.length)
  && Object.values(window.state.data).some((data) => data.messages?.length === 2));
const list = (selector) => page.$$eval(`${selector} li`, (items) => items.map((item) => item.textContent));
tell({
  conversations: await list("#conversations"),
  messages: await list("#messages"),
  state: await page.evaluate(() => window.state),
  streams: await page.evaluate(() => window.streams),
  texts: await page.evaluate(() => window.texts),
});
await browser.close();
site.close();
