// Passkeys, with an authenticator of Chromium's.

import { join } from "node:path";
import { Box } from "../box.mjs";
import { PHONE, claim, ensure, fit, logIn, shoot, watched } from "../page.mjs";
import { OUT, PASSWORD, state } from "../state.mjs";

// Passkeys, with an authenticator of Chromium's: registered under a name over TLS, logged in with, refused by a wrong
// origin or an old answer, removed. Where there can be none, the page says why.
export async function passkeys() {
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
  await claim(phone, box, PASSWORD);
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
}
