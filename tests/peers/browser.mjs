// A real headless Chromium, the system's own, with a profile that is nobody's.
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.ADVISOR_TEST_NODE_PEERS}/package.json`)("playwright-core");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Opens the browser; the profile lies in `directory`. What the page's console complains of is collected. */
export async function open(directory, flags = []) {
  const browser = await chromium.launchPersistentContext(directory, {
    executablePath: process.env.ADVISOR_TEST_CHROMIUM,
    args: [...FLAGS, ...flags],
    viewport: { width: 1200, height: 1000 },
  });
  const page = await browser.newPage();
  const seen = { hosts: new Set(), complaints: [] };
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:") seen.hosts.add(url.host);
  });
  page.on("requestfailed", (request) => seen.complaints.push(`${request.url()} failed`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text());
  });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  return { browser, page, seen };
}
