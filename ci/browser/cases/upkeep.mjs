// Every page as it looks; backups; what other programs are given.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { join } from "node:path";
import { freePort, until } from "../box.mjs";
import { PHONE, ensure, fit, logIn, shoot, watched } from "../page.mjs";
import { OUT, PAGES, PASSWORD, state } from "../state.mjs";

// Every page: accessible and not wider than the screen, on a phone and a desktop, light and dark.
export async function pages() {
  let rules = 0, looked = 0, bytes = 0;
  for (const [screen, options] of [["phone", PHONE], ["desktop", { viewport: { width: 1280, height: 800 } }]]) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await state.browser.newContext({ ...options, colorScheme });
      const page = await watched(context, state.trouble);
      await logIn(page, state.box.url, "anna", PASSWORD);
      const device = await page.getAttribute("#devices a", "href");
      for (const path of [...PAGES, device.replace("/admin/", "")]) {
        const answer = await page.goto(`${state.box.url}/admin/${path}`);
        ensure(answer.status() === 200, `${path}: ${answer.status()}`);
        bytes = Math.max(bytes, (await answer.body()).length);
        rules += await fit(page, `${path} on a ${screen}, ${colorScheme}`);
        looked += 1;
        if ((screen === "phone") === (colorScheme === "dark")) await shoot(page, `${path.replace(/\?.*/, "").replace("/", "-")}-${screen}-${colorScheme}`);
      }
      await context.close();
    }
  }
  return `${looked} pages, ${rules} accessibility rules passed, largest page ${bytes} bytes`;
}

// A backup is downloaded, something changes, the backup is put in place without script and the state before put
// back with it; an official client stays in the network.
export async function restore() {
  const { box } = state;
  let context = await state.browser.newContext({ ...PHONE, javaScriptEnabled: false });
  let page = await watched(context, state.trouble);
  const users = () => box.cli("users", "list").map((u) => u.name);
  const back = async (what) => {
    await until(what, () => fetch(`${box.url}/health`).then((a) => a.ok, () => false));
    await page.goto(`${box.url}/admin/`);
    ensure(page.url().endsWith("/login"), "the box has started anew, and knows nobody");
    await logIn(page, box.url, "anna", PASSWORD);
    await page.goto(`${box.url}/admin/system`);
  };
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/system`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("form[action='/admin/backup'] button")]);
  const file = join(OUT, "everything.backup");
  await download.saveAs(file);
  box.cli("users", "create", "later");
  await page.click("summary:has-text('Restore a backup')");
  await page.setInputFiles("#backup-file", { name: "a.backup", mimeType: "image/png", buffer: Buffer.from("no backup at all") });
  await page.click("form[action='/admin/restore'] button");
  ensure((await page.textContent("main")).includes("is no backup"), "what is no backup is refused in words");
  await page.goto(`${box.url}/admin/system`);
  await page.click("summary:has-text('Restore a backup')");
  await shoot(page, "restore-form");
  await page.setInputFiles("#backup-file", file);
  await page.click("form[action='/admin/restore'] button");
  await page.waitForURL(/restore$/);
  await shoot(page, "restore-holds");
  await page.click("form[action='/admin/restore/confirm'] button");
  await shoot(page, "restore-running");
  await until("the users of the backup", () => { try { return !users().includes("later"); } catch { return false; } });
  await back("the restored box");
  await page.goto(`${box.url}/admin/events`);
  ensure((await page.textContent("#events")).includes("restored a backup"), "the log of changes has it");
  await until("the client to be back", () => box.cli("nodes", "list").some((n) => n.givenName === "annas-laptop" && n.online), 60);
  await context.close();
  context = await state.browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark" });
  page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/system`);
  await page.click("summary:has-text('Restore a backup')");
  await fit(page, "restore");
  await page.setInputFiles("#backup-file", { name: "a.backup", mimeType: "image/png", buffer: Buffer.from("none") });
  await page.click("form[action='/admin/restore'] button");
  await fit(page, "a refused backup");
  await page.goto(`${box.url}/admin/system`);
  await page.click("summary:has-text('Put back')");
  await fit(page, "the way back");
  await page.click("form[action='/admin/restore/previous'] button");
  await page.waitForURL(/restore$/);
  await fit(page, "what a backup holds");
  await shoot(page, "restore-holds-desktop");
  await page.click("form[action='/admin/restore/confirm'] button");
  await page.waitForSelector("text=starts anew");
  await fit(page, "it starts anew");
  await until("the users of before", () => { try { return users().includes("later"); } catch { return false; } });
  await back("the box as before");
  await context.close();
  return "downloaded, refused, shown, put in place, put back; the client stayed";
}

// For other programs: an OAuth client whose token does what its scope says, and a webhook whose signature is right.
export async function tools() {
  const { box } = state;
  const context = await state.browser.newContext(PHONE);
  const page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/keys`);
  await page.click("summary:has-text('Make an OAuth client')");
  await page.fill("#oauth-description", "for the test");
  await page.check("input[name=scope][value='dns:read']");
  await page.click("form[action='/admin/oauth'] button");
  const client_secret = await page.textContent("#fresh");
  await fit(page, "an OAuth client's secret");
  const asked = await fetch(`${box.url}/api/v2/oauth/token`, { method: "POST", body: new URLSearchParams({ client_secret }) });
  const token = (await asked.json()).access_token;
  const status = (path) => fetch(`${box.url}/api/v2/tailnet/-/${path}`, { headers: { authorization: `Bearer ${token}` } }).then((a) => a.status);
  ensure((await status("dns/preferences")) === 200 && (await status("devices")) === 403, "the token does what its scope says and no more");
  await page.goto(`${box.url}/admin/keys`);
  ensure(!(await page.content()).includes(client_secret), "the secret is shown once");
  await page.click("#oauth summary");
  await page.click("#oauth form[action$='/delete'] button");
  await page.waitForSelector("#oauth li", { state: "detached" });
  ensure((await status("dns/preferences")) === 401, "its tokens end with it");

  const heard = [];
  const site = createServer((request, answer) => {
    const parts = [];
    request.on("data", (p) => parts.push(p));
    request.on("end", () => { heard.push([request.headers["tailscale-webhook-signature"], Buffer.concat(parts)]); answer.end(); });
  });
  const port = await freePort();
  await new Promise((done) => site.listen(port, "127.0.0.1", done));
  const add = async (local) => {
    await page.goto(`${box.url}/admin/events`);
    await page.click("summary:has-text('Add a webhook')");
    await page.fill("#hook-url", local ? `http://127.0.0.1:${port}/hook` : `https://127.0.0.1:${port}/hook`);
    if (local) await page.check("input[name=local]");
    await page.click("form[action='/admin/webhook'] button");
  };
  await add(false);
  ensure((await page.textContent(".note.bad")).includes("not on the public internet"), "this machine is refused unless said so");
  await add(true);
  const secret = await page.textContent("#fresh");
  await fit(page, "a webhook's secret");
  await shoot(page, "webhook");
  await page.click("#hooks form[action$='/test'] button");
  const next = async (type) => {
    const [signature, body] = await until(`a webhook about ${type}`, () => heard.shift(), 10);
    const t = /^t=([0-9]+),v1=/.exec(signature)[1];
    const right = createHmac("sha256", secret).update(`${t}.`).update(body).digest("hex");
    ensure(signature === `t=${t},v1=${right}`, `the signature of ${type} is right`);
    const events = JSON.parse(body);
    ensure(events.some((e) => e.type === type && e.version === 1), `${type} is told: ${body}`);
    return events;
  };
  await next("test");
  const policy = box.cli("policy", "get").policy;
  const rollback = box.cli("policy", "versions").versions[0].version;
  box.cli("policy", "rollback", "--version-id", String(rollback));
  await next("policyUpdate");
  ensure(box.cli("policy", "get").policy === policy, "the same policy is in force");
  await page.goto(`${box.url}/admin/events`);
  ensure((await page.textContent("#hooks")).includes("delivered, 200"), "the page says how it ended");
  ensure(!(await page.content()).includes(secret), "the secret is shown once");
  await page.click("#hooks form[action$='/delete'] button");
  await page.waitForSelector("#hooks li", { state: "detached" });
  site.close();
  await context.close();
  return "a token by its scope; webhooks signed, refused where they must not go";
}
