// Small tools around pages: screenshots, the accessibility check, what must hold on every page.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import jsqr from "jsqr";
import { PNG } from "pngjs";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

/** Fails with a sentence. */
export function ensure(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

/** What a camera reads from a code on the page. */
export async function scan(element) {
  const picture = PNG.sync.read(await element.screenshot());
  return jsqr(new Uint8ClampedArray(picture.data), picture.width, picture.height)?.data;
}

/** What a camera reads from a code of half blocks on a dark console. */
export function scanConsole(text) {
  const rows = text.split("\n").filter((row) => /^[\u2588\u2580\u2584 ]{20,}$/.test(row) && row.startsWith("\u2588"));
  const width = Math.max(...rows.map((row) => row.length));
  const scale = 4;
  const side = [width * scale, rows.length * 2 * scale];
  const picture = new Uint8ClampedArray(side[0] * side[1] * 4).fill(255);
  for (let y = 0; y < side[1]; y += 1) {
    for (let x = 0; x < side[0]; x += 1) {
      const [row, half] = [Math.floor(y / scale / 2), Math.floor(y / scale) % 2];
      const light = ["\u2588", half ? "\u2584" : "\u2580"].includes(rows[row][Math.floor(x / scale)]);
      if (!light) picture.fill(0, (y * side[0] + x) * 4, (y * side[0] + x) * 4 + 3);
    }
  }
  return jsqr(picture, ...side)?.data;
}

let shots = 0;

/** Saves what the page looks like. */
export async function shoot(page, name) {
  shots += 1;
  await page.screenshot({ path: join(process.env.OUT, `${String(shots).padStart(2, "0")}-${name}.png`), fullPage: true });
}

/** No accessibility violation (axe-core, all its WCAG 2.2 A and AA rules and best practices), nothing wider than the screen. */
export async function fit(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  ensure(wide <= 0, `${name}: ${wide} pixels wider than the screen`);
  const tall = await page.evaluate(() => [...document.querySelectorAll("header nav a")].filter((e) => e.clientHeight > 60).map((e) => e.textContent));
  ensure(tall.length === 0, `${name}: entries of the menu fall apart: ${tall.join(", ")}`);
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => window.axe.run(document));
  const lines = found.violations.flatMap((v) => v.nodes.map((n) => `${v.id} (${v.impact}): ${n.target.join(" ")}: ${n.failureSummary}`));
  ensure(lines.length === 0, `${name} is not accessible:\n${lines.join("\n")}`);
  return found.passes.length;
}

/** A page that fails the test when it shows a dialog, throws, or breaks its own content policy. */
export async function watched(context, trouble) {
  const page = await context.newPage();
  page.on("dialog", (d) => { trouble.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on("pageerror", (e) => trouble.push(`script: ${e.message}`));
  page.on("console", (m) => { if (/Content.Security.Policy/i.test(m.text())) trouble.push(m.text()); });
  return page;
}

/** A window whose clicks with `press` are counted. */
export async function counted(context, trouble) {
  const page = await watched(context, trouble);
  page.clicks = 0;
  page.press = async (selector) => { page.clicks += 1; await page.click(selector); };
  return page;
}

/** Makes the first owner, anna, of a fresh box whose first page is open. */
export async function claim(page, box, password) {
  await page.fill("#code", box.setupCode());
  await page.fill("#name", "anna");
  await page.fill("#password", password);
  await (page.clicks === undefined ? page.click("main button") : page.press("main button"));
  await page.waitForURL(/setup$/);
}

/** Logs in with the form. */
export async function logIn(page, url, name, password) {
  await page.goto(`${url}/admin/login`);
  await page.fill("#name", name);
  await page.fill("#password", password);
  await page.click("form[action='/admin/login'] button");
  await page.waitForSelector("#devices, #live");
}
