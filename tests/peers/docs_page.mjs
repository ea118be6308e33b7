// Reads the pages at /docs as a person does. Arguments: profile directory, URL, token, screenshot file.
// The server goes by a name that is not loopback's, as where it is deployed: tools for developers can behave otherwise there.
import { open } from "./browser.mjs";

const [profile, url, token, screenshot] = process.argv.slice(2);
const port = new URL(url).port;
const base = `http://docs.example:${port}`;
const { browser, page, seen } = await open(profile, ["--host-resolver-rules=MAP docs.example 127.0.0.1"]);

await page.goto(`${base}/docs`);
await page.waitForSelector(".opblock");
const title = await page.title();
const operations = await page.$$eval(".opblock", (blocks) => blocks.map((block) =>
  `${block.querySelector(".opblock-summary-method").textContent} ${block.querySelector(".opblock-summary-path").dataset.path}`));

// Look at a command with its example, its schema and its answers.
const send = page.locator('.opblock:has([data-path="/api/commands/SendMessage"])');
await send.locator(".opblock-summary-control").click();
await send.locator(".tablinks").first().waitFor();
await page.locator(".models-control").click();

// Sign in with a token, and try a query.
await page.click(".auth-wrapper .authorize");
await page.fill(".modal-ux .auth-container input >> nth=0", token);
await page.click(".modal-ux .auth-btn-wrapper .authorize >> nth=0");
await page.click(".modal-ux .close-modal");
const me = page.locator('.opblock:has([data-path="/api/me"])');
await me.locator(".opblock-summary-control").click();
await me.locator(".try-out__btn").click();
await me.locator(".execute").click();
const answer = await me.locator(".live-responses-table .response-col_description pre").first().textContent();
await page.screenshot({ path: screenshot });
await page.evaluate(() => scrollTo(0, 0));
await page.screenshot({ path: screenshot.replace(".png", "-top.png") });

await page.goto(`${base}/docs/`);
await page.waitForSelector(".opblock");
const errors = await page.getAttribute(".info a[href*=errors]", "href");
await page.goto(new URL(errors, page.url()).href);
const codes = await page.$$eval("tbody tr", (rows) => rows.map((row) => row.id));
await page.click("text=BUSY");
const marked = await page.evaluate(() => getComputedStyle(document.querySelector("#BUSY")).backgroundColor);
await page.screenshot({ path: screenshot.replace(".png", "-errors.png") });
await browser.close();

console.log(JSON.stringify({
  title, operations, answer, codes, marked, hosts: [...seen.hosts], host: `docs.example:${port}`, complaints: seen.complaints,
}));
