// Devices: a newcomer's first, without script, by keyboard, approved, with a hostile name, and what is set of one.

import { Box, Client, until } from "../box.mjs";
import { PHONE, claim, counted, ensure, fit, logIn, scan, shoot, watched } from "../page.mjs";
import { EVIL, OUT, PAGES, PASSWORD, state } from "../state.mjs";

// A newcomer on a phone: claim, name, key, and the device arrives on the page without a reload.
export async function newcomer() {
  const begun = Date.now();
  state.box = await Box.start(process.env.HEARTHGATE, OUT);
  const { box } = state;
  const client = await Client.start(process.env.CLIENTS, OUT, "laptop");
  const context = await state.browser.newContext(PHONE);
  const page = await counted(context, state.trouble);
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
  await claim(page, box, PASSWORD);
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
}

// Without script: log in, make a key, see the device arrive by the page's own refresh, rename it.
export async function noScript() {
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
}

// By keyboard alone, with the focus visible: log in, let in a device that waits.
export async function keyboard() {
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
}

// New devices wait once that is switched on; one is approved on a page that shows it arriving by itself.
export async function approval() {
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
}

// A device with a hostile name: its words stay words on every page that shows them.
export async function hostileName() {
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
}

// A device's page: values for postures, how long its key lasts; a member does with the own device what members may.
export async function device() {
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
}
