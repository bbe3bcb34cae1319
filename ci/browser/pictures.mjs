// Pictures for docs/, of a box that was just started: its console, the pages that a newcomer sees, an official client in it.
// node pictures.mjs URL CONSOLE: the address of the box, and the file with what stands on its console.

import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, stopAll } from "./box.mjs";
import { PHONE, ensure, scan, scanConsole } from "./page.mjs";

const [url, console_file] = process.argv.slice(2);
const PASSWORD = "correct horse battery";
const PATIENCE = 120_000;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const save = (name) => ({ path: join(process.env.OUT, `${name}.png`) });
let status = 0;
try {
  const text = readFileSync(console_file, "utf8").replaceAll("\r", "");
  // From what the program says first to the end of the code, and the line that says where the page is.
  const lines = text.slice(text.indexOf("hearthgate 0"), text.indexOf("Or, in another terminal")).trimEnd().split("\n");
  lines.push("", text.split("\n").find((line) => line.includes("ready: http://")));
  ensure(scanConsole(text)?.includes("/admin/"), "the code on the console can be scanned");
  const screen = await browser.newPage({ viewport: { width: 960, height: 600 } });
  await screen.setContent(`<body style="margin:0;background:#000"><pre id="screen" style="margin:0;padding:16px;width:928px;white-space:pre-wrap;color:#ccc;font:14px/14px 'DejaVu Sans Mono',monospace"></pre>`);
  await screen.evaluate((said) => { document.querySelector("#screen").textContent = said; }, lines.join("\n"));
  await screen.locator("#screen").screenshot(save("console"));

  const phone = await browser.newContext({ ...PHONE, deviceScaleFactor: 1.5 });
  phone.setDefaultTimeout(PATIENCE);
  const page = await phone.newPage();
  await page.goto(url);
  await page.fill("#code", /^ {2}([a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4})$/m.exec(text)[1]);
  await page.fill("#name", "anna");
  await page.fill("#password", PASSWORD);
  await page.screenshot(save("claim"));
  await page.click("main button");
  await page.waitForURL(/setup$/);
  await page.fill("#network", "smith");
  await page.click("form[action='/admin/setup/network'] button");
  await page.waitForSelector("text=smith.internal");
  await page.screenshot(save("setup"));
  await page.click("a.button[href='/admin/join']");
  await page.click("main form button");
  await page.waitForSelector("#line");
  const codes = page.locator("svg.qr");
  ensure((await scan(codes.first()))?.endsWith("/join"), "the code on the page can be scanned");
  await codes.first().scrollIntoViewIfNeeded();
  await page.screenshot(save("join"));
  const client = await Client.start(process.env.CLIENTS, process.env.OUT, "laptop");
  // QEMU's address of the machine, which the line on the page has, leads nowhere from here.
  client.up("--hostname=annas-laptop", "--login-server", url, "--authkey", await page.textContent("#key"));
  await page.waitForSelector("#arrived", { timeout: PATIENCE });
  await client.joined();

  const desk = await browser.newContext({ viewport: { width: 1200, height: 560 }, storageState: await phone.storageState() });
  desk.setDefaultTimeout(PATIENCE);
  const wide = await desk.newPage();
  await wide.goto(`${url}/admin/devices`);
  await wide.screenshot(save("devices"));
  await wide.goto(`${url}/admin/system`);
  await wide.locator("section[aria-labelledby=upgrade-title]").screenshot(save("upgrade"));
  await desk.close();
} catch (e) {
  status = 1;
  console.log(`FAIL ${e.stack}`);
}
await browser.close();
stopAll();
process.exit(status);
