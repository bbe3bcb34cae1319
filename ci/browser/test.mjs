// The cases. Each says what it did and what it measured; the first that fails ends the run with status 1.

import { chromium } from "playwright-core";
import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Box, Client, freePort, startFront, startStun, stopAll, until } from "./box.mjs";
import { PHONE, ensure, fit, logIn, scan, scanConsole, shoot, watched } from "./page.mjs";

const OUT = process.env.OUT;
const PASSWORD = "correct horse battery";
const EVIL = `<img src=x onerror=alert('xss')>`;
const PAGES = ["devices", "map", "join", "routes", "users", "account", "keys", "policy", "policy/reach?from=annas-laptop&to=anna", "policy/history", "dns", "relays", "health", "events", "system", "setup"];
const state = {};

/** A browser window whose clicks are counted. */
async function counted(context) {
  const page = await watched(context, state.trouble);
  page.clicks = 0;
  page.press = async (selector) => { page.clicks += 1; await page.click(selector); };
  return page;
}

const cases = {
  // A newcomer on a phone: claim, name, key, and the device arrives on the page without a reload.
  async newcomer() {
    const begun = Date.now();
    state.box = await Box.start(process.env.HEARTHGATE, OUT);
    const { box } = state;
    const client = await Client.start(process.env.CLIENTS, OUT, "laptop");
    const context = await state.browser.newContext(PHONE);
    const page = await counted(context);
    await page.goto(box.url);
    ensure(page.url().endsWith("/admin/"), `the address of the box leads to the pages, not to ${page.url()}`);
    await fit(page, "claim");
    await shoot(page, "claim");
    await page.fill("#code", "aaaa-bbbb-cccc");
    await page.fill("#name", "anna");
    await page.fill("#password", PASSWORD);
    await page.click("main button");
    await page.waitForSelector("#problem");
    await fit(page, "claim refused");
    await page.fill("#code", box.setupCode());
    await page.fill("#name", "anna");
    await page.fill("#password", PASSWORD);
    await page.press("main button");
    await page.waitForURL(/setup$/);
    await page.fill("#network", "smith");
    await page.press("form[action='/admin/setup/network'] button");
    await page.waitForSelector("text=smith.internal");
    await fit(page, "setup");
    await shoot(page, "setup");
    await page.press("a.button[href='/admin/join']");
    await page.press("main form button");
    await page.waitForSelector("#line");
    await fit(page, "join");
    await shoot(page, "join");
    const line = (await page.textContent("#line")).split(" ");
    const codes = await page.locator("svg.qr").all();
    ensure((await scan(codes[0])) === `${box.url}/join`, "the first code leads to the page for the device");
    ensure((await scan(codes[1])) === (await page.textContent("#key")), "the second code is the key");
    const words = line.slice(line.indexOf("up") + 1);
    client.up("--hostname=annas-laptop", ...words);
    await page.waitForSelector("#arrived", { timeout: 60_000 });
    ensure((await page.textContent("#arrived")) === "annas-laptop", "the page names the device");
    const seconds = (Date.now() - begun) / 1000;
    await client.joined();
    await fit(page, "arrived");
    await shoot(page, "arrived");
    ensure(client.status().MagicDNSSuffix === "smith.internal", `the client knows the network as ${client.status().MagicDNSSuffix}`);
    ensure(page.clicks <= 10 && seconds <= 180, `${page.clicks} clicks, ${seconds} s`);
    state.client = client;
    await context.close();
    return `from first start to a joined official client: ${seconds.toFixed(1)} s, ${page.clicks} clicks`;
  },

  // Every page: accessible and not wider than the screen, on a phone and a desktop, light and dark.
  async pages() {
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
  },

  // Without script: log in, make a key, see the device arrive by the page's own refresh, rename it.
  async noScript() {
    const context = await state.browser.newContext({ ...PHONE, javaScriptEnabled: false });
    const page = await watched(context, state.trouble);
    await logIn(page, state.box.url, "anna", PASSWORD);
    await page.click("a.button[href='/admin/join']");
    await page.click("main form button");
    const key = await page.textContent("#key");
    const client = await Client.start(process.env.CLIENTS, OUT, "phone");
    client.up("--hostname=annas-phone", "--login-server", state.box.url, "--authkey", key);
    await page.waitForSelector("#arrived", { timeout: 60_000 });
    await page.click("#arrived");
    await page.fill("#name", "pocket");
    await page.click("form[action$='/rename'] button");
    await page.waitForSelector("h1:has-text('pocket')");
    await shoot(page, "no-script");
    ensure(state.box.cli("nodes", "list").some((n) => n.givenName === "pocket"), "the name is the server's too");
    await context.close();
    return "claimed, joined and renamed without script";
  },

  // By keyboard alone, with the focus visible: log in, let in a device that waits.
  async keyboard() {
    const client = await Client.start(process.env.CLIENTS, OUT, "desk");
    client.up("--hostname=desk", "--login-server", state.box.url);
    const context = await state.browser.newContext({ viewport: { width: 1280, height: 800 } });
    const page = await watched(context, state.trouble);
    await page.goto(`${state.box.url}/admin/login`);
    const focus = async (selector) => {
      for (let i = 0; i < 80; i += 1) {
        await page.keyboard.press("Tab");
        const there = await page.evaluate((s) => document.activeElement?.matches(s), selector);
        if (there) {
          const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
          ensure(outline !== "none", `the focus on ${selector} is not visible`);
          return;
        }
      }
      throw new Error(`${selector} cannot be reached with Tab`);
    };
    await focus("#name");
    await page.keyboard.type("anna");
    await focus("#password");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#devices");
    await page.waitForSelector("#waiting", { timeout: 60_000 });
    await fit(page, "a device waits");
    await shoot(page, "waiting");
    await focus("form[action='/admin/login/approve'] button");
    await page.keyboard.press("Enter");
    await client.joined();
    await page.waitForSelector("#devices a:has-text('desk')");
    await context.close();
    return "logged in and let a device in by keyboard";
  },

  // New devices wait once that is switched on; one is approved on a page that shows it arriving by itself.
  async approval() {
    const { box } = state;
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    await page.click("form[action='/admin/approval'] button");
    await page.waitForSelector("form[action='/admin/approval'] input[name=on][value='0']", { state: "attached" });
    const key = box.cli("preauthkeys", "create", "--user", "anna").key;
    const client = await Client.start(process.env.CLIENTS, OUT, "tablet");
    client.up("--hostname=tablet", "--login-server", box.url, "--authkey", key);
    const button = "#devices li:has-text('tablet') form[action$='/approve'] button";
    await page.waitForSelector(button, { timeout: 60_000 });
    await until("the client to know that it waits", () => client.status().BackendState === "NeedsMachineAuth");
    ensure(!Object.values(client.status().Peer ?? {}).length, "it sees nobody");
    await fit(page, "a device waits for approval");
    await shoot(page, "approval");
    await page.click(button);
    await page.waitForSelector("#facts");
    await client.joined();
    ensure(Object.values(client.status().Peer).some((p) => p.HostName === "annas-laptop"), "it sees the others");
    ensure(box.cli("nodes", "list").every((n) => n.approved), "nobody waits any more");
    await page.goto(`${box.url}/admin/`);
    await page.click("form[action='/admin/approval'] button");
    await page.waitForSelector("form[action='/admin/approval'] input[name=on][value='1']", { state: "attached" });
    await context.close();
    return "waited, was approved, is in";
  },

  // A device with a hostile name: its words stay words on every page that shows them.
  async hostileName() {
    const key = state.box.cli("preauthkeys", "create", "--user", "anna").key;
    state.box.cli("users", "create", "mallory", "--display-name", EVIL, "--email", "x@example.org");
    const client = await Client.start(process.env.CLIENTS, OUT, "mallory", EVIL);
    client.up("--login-server", state.box.url, "--authkey", key);
    await client.joined();
    const hostile = state.box.cli("nodes", "list").find((n) => n.name.includes("<img"));
    ensure(hostile, "the server has the name as the client gave it");
    const context = await state.browser.newContext();
    const page = await watched(context, state.trouble);
    await logIn(page, state.box.url, "anna", PASSWORD);
    for (const path of [...PAGES, `device/${hostile.id}`]) {
      await page.goto(`${state.box.url}/admin/${path}`);
      const broken = await page.evaluate(() => document.querySelectorAll("img[onerror]").length);
      ensure(broken === 0, `${path}: the name became markup`);
    }
    ensure((await page.textContent("#facts")).includes(EVIL), "the name is shown as it is");
    await shoot(page, "hostile-name");
    await context.close();
    return "a name of markup stays text";
  },

  // The policy: checked while it is typed, with its tests; what changes is shown; why; and back to an older version.
  async policy() {
    const { box } = state;
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    await page.goto(`${box.url}/admin/policy`);
    const text = (dst, test) => `{"grants": [{"src": ["*"], "dst": ["${dst}"], "ip": ["tcp:22"]}], "tests": [{"src": "anna@", "accept": ["${test}"]}]}`;
    await page.fill("#policy", "{ nothing");
    await page.waitForSelector("#problem");
    const wrong = await page.textContent("#problem");
    await page.fill("#policy", text("anna@", "anna@:80").replace("anna@:80", "100.64.0.1:80"));
    await page.waitForFunction((old) => { const p = document.querySelector("#problem"); return p && p.textContent !== old; }, wrong);
    ensure((await page.textContent("#problem")).includes("test(s) failed"), `a failing test is shown: ${await page.textContent("#problem")}`);
    await fit(page, "a policy that is refused");
    await page.click("button[value=save]");
    await page.waitForSelector("#problem");
    ensure(box.cli("policy", "get").policy === "", "what is refused is not saved");
    await page.fill("#policy", text("anna@", "100.64.0.1:22"));
    await page.waitForSelector("#fine");
    ensure((await page.textContent("#checked")).includes("No longer allowed"), "what is lost is shown");
    await fit(page, "a policy that is fine");
    await shoot(page, "policy-checked");
    await page.click("button[value=save]");
    await page.waitForSelector("text=Version 1");
    await page.goto(`${box.url}/admin/policy/reach?from=annas-laptop&to=pocket:80`);
    ensure((await page.textContent("#answer")).includes("No:"), "port 80 is closed");
    await page.goto(`${box.url}/admin/policy/reach?from=annas-laptop&to=pocket:22`);
    ensure((await page.textContent("#answer")).includes("grants[0]"), "the rule is named");
    await fit(page, "why");
    await shoot(page, "policy-why");
    await page.goto(`${box.url}/admin/policy`);
    await page.fill("#policy", '{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}');
    await page.waitForSelector("text=Newly allowed");
    await page.click("button[value=save]");
    await page.waitForSelector("text=Version 2");
    await page.goto(`${box.url}/admin/policy/history`);
    await fit(page, "versions");
    await page.click("form[action='/admin/policy/rollback'] button");
    await page.waitForSelector("text=Version 3");
    const now = box.cli("policy", "get");
    ensure(now.policy.includes("tcp:22") && now.author === "rollback to 1", `${now.author}: ${now.policy}`);
    await context.close();
    return "refused, checked while typed, explained, gone back to";
  },

  // DNS: what is wrong is refused with its line, what is right reaches the client.
  async dns() {
    const { box } = state;
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    await page.goto(`${box.url}/admin/dns`);
    await page.fill("#records", "printer.lan nowhere");
    await page.click("form[action='/admin/dns'] button");
    ensure((await page.textContent(".note.bad")).includes("printer.lan nowhere"), "the wrong line is named");
    await page.fill("#records", "printer.lan 192.168.1.9");
    await page.fill("#search", "home.arpa");
    await page.click("form[action='/admin/dns'] button");
    await page.waitForSelector("dd:has-text('printer.lan 192.168.1.9')");
    await fit(page, "DNS with a name");
    await shoot(page, "dns");
    await until("the client to learn it", () => state.client.run("dns", "status", "--all").includes("home.arpa"), 20);
    await context.close();
    return "refused by line, then known to the client";
  },

  // A backup is downloaded, something changes, the backup is put in place without script and the state before put
  // back with it; an official client stays in the network.
  async restore() {
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
  },

  // For other programs: an OAuth client whose token does what its scope says, and a webhook whose signature is right.
  async tools() {
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
  },

  // A name that follows the box's address: set on a phone, tried at once, its secret shown nowhere, given up again. A STUN
  // server says what the public address is, so that it is tried wherever this runs.
  async dyndns() {
    const dir = join(OUT, "dyndns");
    const stun = await startStun("203.0.113.7");
    mkdirSync(dir, { recursive: true });
    const relays = join(dir, "relays.json");
    const node = { Name: "950a", RegionID: 950, HostName: "localhost", STUNPort: stun.address().port, STUNOnly: true };
    writeFileSync(relays, JSON.stringify({ Regions: { 950: { RegionID: 950, RegionCode: "stun", RegionName: "STUN", Nodes: [node] } } }));
    const box = await Box.start(process.env.HEARTHGATE, dir, undefined, { HEARTHGATE_DERP_PATHS: relays });
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await page.goto(`${box.url}/admin/`);
    await page.fill("#code", box.setupCode());
    await page.fill("#name", "anna");
    await page.fill("#password", PASSWORD);
    await page.click("main button");
    await page.waitForURL(/setup$/);
    const heard = [];
    const service = createServer((request, answer) => { heard.push([request.url, request.headers.authorization]); answer.end("good"); });
    const port = await freePort();
    await new Promise((done) => service.listen(port, "127.0.0.1", done));
    const set = async (name, secret) => {
      await page.goto(`${box.url}/admin/setup`);
      await page.click("#dyndns > summary");
      await page.click("summary:has-text('Another service that speaks dyndns2')");
      await page.fill("#dyndns-dyndns2-name", name);
      if (secret) {
        await page.fill("#dyndns-dyndns2-url", `http://127.0.0.1:${port}`);
        await page.fill("#dyndns-dyndns2-user", "anna");
        await page.fill("#dyndns-dyndns2-secret", secret);
      }
      await page.selectOption("#dyndns-dyndns2-families", "4");
      await fit(page, "a dynamic name");
      await shoot(page, "dyndns");
      await page.click("form:has(input[value='dyndns2']) button");
      await page.waitForLoadState();
    };
    await set("home", "S3cret-in-no-page");
    ensure((await page.textContent(".note.bad")).includes("no whole name"), "a name that is none is refused");
    ensure(heard.length === 0, "nobody is asked about it");
    await set("home.example.org", "S3cret-in-no-page");
    const [seen, whole] = [box.cli("dyndns", "status"), await page.content()];
    ensure(seen.state === "good" && seen.ipv4 && !seen.ipv6, `${JSON.stringify(seen)}: ${heard}`);
    ensure(whole.includes(`home.example.org leads to ${seen.told}`), "the page says where it leads");
    const login = Buffer.from("anna:S3cret-in-no-page").toString("base64");
    const asked = `/nic/update?hostname=home.example.org&myip=${seen.told}`;
    ensure(heard.length === 1 && heard[0][1] === `Basic ${login}` && heard[0][0] === asked, `${heard}`);
    // Sent again without what is secret: what was set stays.
    await set("home.example.org");
    const again = box.cli("dyndns", "status");
    ensure(again.user === "anna" && again.told === seen.told && !again.ipv6 && heard.length === 1, JSON.stringify(again));
    await page.goto(`${box.url}/admin/events`);
    const everywhere = whole + (await page.content()) + JSON.stringify(seen) + readFileSync(box.log, "utf8");
    ensure(!everywhere.includes("S3cret") && !everywhere.includes(Buffer.from("S3cret").toString("base64")), "the secret is shown nowhere");
    await page.goto(`${box.url}/admin/setup`);
    await page.click("summary:has-text('Give the name up')");
    await page.click("form[action='/admin/setup/dyndns/remove'] button");
    await page.waitForLoadState();
    ensure(box.cli("dyndns", "status").state === "none", "it is gone");
    service.close();
    stun.close();
    await context.close();
    return `set and told ${seen.told} at once, set again without its secret, which is shown nowhere`;
  },

  // The switch that lets the household's router open the way: off until the owner says so, and off again.
  async portmap() {
    const { box } = state;
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    await page.goto(`${box.url}/admin/setup`);
    ensure(box.cli("portmap", "status").on === false, "off until somebody says so");
    await page.click("#ports > summary");
    await fit(page, "a way in");
    await shoot(page, "portmap");
    await page.click("#ports button");
    await page.waitForLoadState();
    ensure(box.cli("portmap", "status").on === true, "the button switches it on");
    await until("what became of it", async () => {
      await page.goto(`${box.url}/admin/setup`);
      return (await page.textContent("main")).includes("There is no port to open");
    });
    await page.click("summary:has-text('Let the router close the way again')");
    await page.click("details[open] form[action='/admin/setup/portmap'] button");
    await page.waitForLoadState();
    const off = box.cli("portmap", "status");
    ensure(off.on === false && off.chosen === true, JSON.stringify(off));
    await page.click("form[action='/admin/setup/portmap/configured'] button");
    await page.waitForLoadState();
    ensure(box.cli("portmap", "status").chosen === false, "as the configuration says");
    await context.close();
    return "off, on, off, and as configured";
  },

  // A device's page: values for postures, how long its key lasts; a member does with the own device what members may.
  async device() {
    const { box } = state;
    const context = await state.browser.newContext(PHONE);
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    const { id } = box.cli("nodes", "list").find((n) => n.givenName === "annas-laptop");
    const known = () => box.cli("nodes", "attributes", "-i", id).attributes;
    await page.goto(`${box.url}/admin/device/${id}`);
    await page.click("summary:has-text('What is known of it')");
    await page.fill("#attribute-name", "custom:tier");
    await page.fill("#attribute-value", "gold");
    await page.fill("#attribute-days", "30");
    await page.click("form[action$='/attribute']:has(#attribute-name) button");
    await page.waitForSelector("li:has-text('custom:tier')");
    ensure(known()["custom:tier"] === "gold", "the server has the value");
    await fit(page, "a device with a value");
    await shoot(page, "attributes");
    await page.click("li:has-text('custom:tier') button");
    await page.waitForSelector("li:has-text('custom:tier')", { state: "detached" });
    ensure(!("custom:tier" in known()), "the value is gone");
    await page.fill("#key-days", "90");
    await page.click("form:has(#key-days) button");
    await page.waitForSelector("button:has-text('never expire')");
    const days = (Date.parse(box.cli("nodes", "list").find((n) => n.id === id).expiry) - Date.now()) / 86_400_000;
    ensure(days > 89 && days < 91, `the key ends in ${days} days`);

    await page.goto(`${box.url}/admin/users`);
    await page.click("summary:has-text('Change anna')");
    await page.selectOption("form[action$='/role'] select[name=role]", "it-admin");
    await page.click("form[action^='/admin/user/'][action$='/role'] button");
    await page.waitForSelector("select[name=role] option[value=it-admin][selected]", { state: "attached" });
    await page.click("summary:has-text('Add an account')");
    await page.fill("#account-name", "mia");
    await page.selectOption("#account-role", "member");
    await page.selectOption("#account-user", { label: "anna" });
    await page.fill("#account-password", `${PASSWORD} too`);
    await page.click("form[action='/admin/account'] button");
    await page.waitForSelector(".name:has-text('mia')");
    await context.close();

    const other = await state.browser.newContext(PHONE);
    const mia = await watched(other, state.trouble);
    await logIn(mia, box.url, "mia", `${PASSWORD} too`);
    await mia.goto(`${box.url}/admin/device/${id}`);
    ensure((await mia.locator("#key-days, #attribute-name").count()) === 0, "a member is not offered what members may not");
    const forged = (what, fields) => mia.evaluate(async ([to, more]) => {
      const csrf = document.querySelector("input[name=csrf]").value;
      return (await fetch(to, { method: "POST", body: new URLSearchParams({ csrf, ...more }) })).status;
    }, [`/admin/device/${id}/${what}`, fields]);
    ensure((await forged("expire", { how: "never" })) === 403, "a member cannot make a key last for ever");
    ensure((await forged("attribute", { name: "custom:tier", value: "gold" })) === 403, "a member cannot vouch for the own device");
    ensure(box.cli("nodes", "list").find((n) => n.id === id).expiry, "the key still ends");
    await other.close();
    return "values, expiry and roles set; a member is held to what members may";
  },

  // Another site cannot act for somebody who is logged in, nor read the pages under its own name.
  async otherSites() {
    const { box } = state;
    const port = await freePort();
    const before = box.cli("users", "list").length;
    const attack = `<form id=f method=post action="${box.url}/admin/user"><input name=name value=intruder></form><script>f.submit()</script>`;
    const site = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(attack));
    await new Promise((done) => site.listen(port, "127.0.0.1", done));
    const context = await state.browser.newContext();
    const page = await watched(context, state.trouble);
    await logIn(page, box.url, "anna", PASSWORD);
    const forged = page.waitForResponse((r) => r.url().endsWith("/admin/user"));
    await page.goto(`http://evil.test:${port}/`).catch(() => {});
    ensure((await forged).status() === 403, "a forged form is refused");
    const asked = await page.goto(`http://evil.test:${box.port}/admin/login`);
    ensure(asked.status() === 403, `rebinding: ${asked.status()}`);
    ensure(!(await asked.text()).includes("<form"), "rebinding shows no page");
    await page.goto(`${box.url}/admin/`);
    const same = await page.evaluate(async () => (await fetch("/admin/user", { method: "POST", body: new URLSearchParams({ name: "intruder" }) })).status);
    ensure(same === 403, "a form without the token is refused");
    ensure(box.cli("users", "list").length === before, "nothing was made");
    const cookies = await context.cookies();
    const cookie = cookies.find((c) => c.name === "hearthgate_session");
    ensure(cookie.httpOnly && cookie.sameSite === "Strict", "the cookie is for our own pages and not for scripts");
    site.close();
    await context.close();
    return "forged form, missing token, rebinding: refused";
  },

  // Passkeys, with an authenticator of Chromium's: registered under a name over TLS, logged in with, refused by a wrong
  // origin or an old answer, removed. Where there can be none, the page says why.
  async passkeys() {
    const plain = await state.browser.newContext(PHONE);
    const page = await watched(plain, state.trouble);
    await logIn(page, state.box.url, "anna", PASSWORD);
    await page.goto(`${state.box.url}/admin/account`);
    ensure((await page.textContent("main")).includes("opened by an IP address"), "the page says why there are none");
    ensure((await page.locator("form[data-passkey]").count()) === 0, "nothing is offered that cannot work");
    await shoot(page, "account-plain");
    await plain.close();

    const box = await Box.start(process.env.HEARTHGATE, join(OUT, "passkeys"), "box.test");
    const context = await state.browser.newContext({ ...PHONE, colorScheme: "dark", ignoreHTTPSErrors: true });
    const phone = await watched(context, state.trouble);
    const devtools = await context.newCDPSession(phone);
    await devtools.send("WebAuthn.enable");
    const authenticator = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", { options: authenticator });
    const sent = [];
    phone.on("request", (r) => { if (r.method() === "POST" && r.postData()) sent.push([new URL(r.url()).pathname, r.postData()]); });

    await phone.goto(`${box.url}/admin/`);
    await phone.fill("#code", box.setupCode());
    await phone.fill("#name", "anna");
    await phone.fill("#password", PASSWORD);
    await phone.click("main button");
    await phone.waitForURL(/setup$/);
    await phone.click("a.who");
    await fit(phone, "one's account");
    await phone.fill("#passkey-name", "my phone");
    await phone.fill("#passkey-password", "not the password");
    await phone.click("#new-passkey button");
    await phone.waitForSelector("#new-passkey [data-problem]:not([hidden])");
    ensure((await phone.textContent("#new-passkey [data-problem]")).includes("not your present password"), "the password is asked for");
    await phone.fill("#passkey-password", PASSWORD);
    await phone.click("#new-passkey button");
    await phone.waitForSelector("#passkeys li:has-text('my phone')");
    ensure((await phone.textContent("#passkeys")).includes("last used: never"), "it was not used yet");
    const [, registered] = sent.find(([path]) => path === "/admin/passkey");
    ensure(!registered.includes("correct"), "the password is not sent a second time");
    await fit(phone, "a passkey");
    await shoot(phone, "passkey-dark");
    await phone.fill("#passkey-name", "again");
    await phone.fill("#passkey-password", PASSWORD);
    await phone.click("#new-passkey button");
    await phone.waitForSelector("#new-passkey [data-problem]:not([hidden])");
    ensure((await phone.textContent("#new-passkey [data-problem]")).includes("already"), "the same device twice");

    const leave = async () => {
      await phone.click("form[action='/admin/logout'] button");
      await phone.waitForSelector("#passkey button");
    };
    const enter = async () => {
      await phone.click("#passkey button");
      await phone.waitForSelector("#devices, #live, #problem");
      return (await phone.locator("#problem").count()) === 0;
    };
    await leave();
    await fit(phone, "login with a passkey");
    await shoot(phone, "passkey-login");
    ensure(await enter(), "logged in by passkey alone");
    await phone.goto(`${box.url}/admin/account`);
    ensure(!(await phone.textContent("#passkeys")).includes("never"), "the last use is shown");

    // What was sent once is worth nothing a second time, not even with the same browser.
    await leave();
    const [, answer] = sent.findLast(([path]) => path === "/admin/login/passkey");
    const again = await phone.evaluate(async (body) => {
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      return (await fetch("/admin/login/passkey", { method: "POST", body, headers })).status;
    }, answer);
    ensure(again === 401, `an answer worked twice: ${again}`);

    // The authenticator signs for whatever origin the browser says; the box takes its own alone.
    await phone.evaluate(() => {
      const json = (bytes) => new TextDecoder().decode(bytes);
      const get = navigator.credentials.get.bind(navigator.credentials);
      navigator.credentials.get = async (question) => {
        const credential = await get(question);
        const forged = json(credential.response.clientDataJSON).replace("https://box.test", "https://evil.test");
        const { authenticatorData, signature, userHandle } = credential.response;
        const clientDataJSON = new TextEncoder().encode(forged).buffer;
        return { rawId: credential.rawId, response: { clientDataJSON, authenticatorData, signature, userHandle } };
      };
    });
    ensure(!(await enter()), "an answer for another origin logged in");
    ensure((await phone.textContent("#problem")).includes("does not log anybody in"), "it says so");
    await phone.goto(`${box.url}/admin/login`);
    ensure(await enter(), "the right one still does");
    await phone.goto(`${box.url}/admin/events`);
    ensure((await phone.textContent("main")).includes("another site"), "the events say what was wrong");

    await phone.goto(`${box.url}/admin/account`);
    await phone.click("#passkeys summary");
    await phone.click("#passkeys button.danger");
    await phone.waitForSelector("#passkeys", { state: "detached" });
    await phone.click("form[action='/admin/logout'] button");
    await phone.waitForURL(/login$/);
    ensure((await phone.locator("#passkey").count()) === 0, "nobody has a passkey, and none is asked for");
    await logIn(phone, box.url, "anna", PASSWORD);
    const { credentials } = await devtools.send("WebAuthn.getCredentials", { authenticatorId });
    ensure(credentials.length === 1 && credentials[0].rpId === "box.test", "it was a discoverable passkey for this name");
    await context.close();
    return "registered, logged in, refused: twice, another origin, removed";
  },

  // A front's line, scanned from its terminal: it opens the setup page through the login, filled in, and leaves no trace.
  // Then the front looks at the box from outside, which on one machine it must not call outside.
  async front() {
    const box = await Box.start(process.env.HEARTHGATE, join(OUT, "fronted"), "box.test");
    const printed = await startFront(process.env.HEARTHGATE, join(OUT, "front"), box.url);
    const url = scanConsole(printed);
    const line = /^ {2}(hgfront-\S+)$/m.exec(printed)[1];
    ensure(url === `${box.url}/admin/setup#front=${line}`, `the code leads to ${url}`);
    const context = await state.browser.newContext({ ...PHONE, ignoreHTTPSErrors: true });
    const page = await watched(context, state.trouble);
    const asked = [];
    page.on("request", (r) => asked.push(`${r.url()} ${JSON.stringify(r.headers())} ${r.method() === "GET" ? r.postData() : ""}`));
    await page.goto(`${box.url}/admin/`);
    await page.fill("#code", box.setupCode());
    await page.fill("#name", "anna");
    await page.fill("#password", PASSWORD);
    await page.click("main button");
    await page.waitForURL(/setup$/);
    await page.click("form[action='/admin/logout'] button");
    await page.waitForURL(/login$/);

    await page.goto("about:blank");
    await page.goto(url);
    await page.waitForURL(/login$/);
    await page.fill("#name", "anna");
    await page.fill("#password", PASSWORD);
    await page.click("form[action='/admin/login'] button");
    await page.waitForURL(/setup$/);
    await page.waitForFunction((line) => document.getElementById("pairing")?.value === line, line);
    ensure(await page.evaluate(() => sessionStorage.length === 0), "the line stays nowhere else");
    ensure(asked.every((a) => !a.includes(line)), "the line was not sent by itself");
    await fit(page, "a scanned line");
    await shoot(page, "front-scanned");
    await page.click("form[action='/admin/setup/front'] button");
    await until("the tunnel", async () => {
      await page.goto(`${box.url}/admin/setup`);
      return (await page.textContent("main")).includes("come through the front");
    });
    await page.click("form[action='/admin/setup/front/test'] button");
    await page.waitForSelector("text=says nothing of the outside");
    await fit(page, "a test from outside");
    await shoot(page, "front-test");
    const { outside } = box.cli("front", "status");
    // An address that is not of the Internet is not knocked at.
    ensure(!outside.ours && outside.tcp === "skipped" && !outside.reachable, JSON.stringify(outside));
    ensure(outside.findings[0].includes("127.0.0.1, which is no address of the Internet"), JSON.stringify(outside));
    ensure(!readFileSync(box.log, "utf8").includes(line), "the line is in no log of the box");
    await context.close();
    return "scanned, through the login, paired, tested from outside";
  },

  // Guessing is slow, and a lost password is reset from the console.
  async guessing() {
    const { box } = state;
    const tryOnce = (password) =>
      fetch(`${box.url}/admin/login`, { method: "POST", redirect: "manual", body: new URLSearchParams({ name: "anna", password }) }).then((a) => a.status);
    const answers = [];
    for (let i = 0; i < 12; i += 1) answers.push(await tryOnce(`guess number ${i}`));
    const refused = answers.filter((s) => s === 429).length;
    ensure(answers[0] === 401 && refused >= 6, `answers ${answers.join(" ")}`);
    ensure((await tryOnce(PASSWORD)) === 429, "the right one has to wait too");
    const reset = box.cli("admin", "reset-password");
    ensure(/^[a-z0-9]{4}(-[a-z0-9]{4}){2}$/.test(reset.code), "a new code");
    await until("the throttle to let one try through", async () => {
      const answer = await fetch(`${box.url}/admin/claim`, {
        method: "POST", redirect: "manual", body: new URLSearchParams({ code: reset.code, name: "anna", password: `${PASSWORD} 2` }),
      });
      return answer.status === 303;
    }, 30);
    const events = readFileSync(box.log, "utf8");
    ensure(!events.includes(PASSWORD), "no password in the log");
    return `${refused} of 12 guesses were not even looked at`;
  },
};

const wanted = process.argv.slice(2);
if (wanted[0] === "--list") {
  console.log(Object.keys(cases).join("\n"));
  process.exit(0);
}
state.trouble = [];
state.browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP box.test 127.0.0.1"],
});
let failed = false;
const begun = Date.now();
try {
  for (const [name, run] of Object.entries(cases)) {
    // All others stand on the box that the newcomer claimed.
    if (wanted.length && name !== "newcomer" && !wanted.includes(name)) continue;
    const told = await run();
    ensure(state.trouble.length === 0, state.trouble.join("\n"));
    console.log(`PASS ${name}: ${told}`);
  }
} catch (e) {
  failed = true;
  console.log(`FAIL ${e.stack}`);
}
console.log(`${((Date.now() - begun) / 1000).toFixed(0)} s; screenshots and logs are in ${join(OUT)}`);
await state.browser.close();
stopAll();
process.exit(failed ? 1 : 0);
