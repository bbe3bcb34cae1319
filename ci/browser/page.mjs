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

/** Logs in with the form. */
export async function logIn(page, url, name, password) {
  await page.goto(`${url}/admin/login`);
  await page.fill("#name", name);
  await page.fill("#password", password);
  await page.click("form[action='/admin/login'] button");
  await page.waitForSelector("#devices, #live");
}
