// Passkeys (WebAuthn level 3, section 5.1). A form with data-passkey gets a question from the address in it, asks the
// browser, and is sent with the answer. Without script, or without passkeys in the browser, these forms stay hidden.
"use strict";
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;
  const read = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const write = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer ?? []), (b) => String.fromCharCode(b)).join(""))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const ask = async (form) => {
    const asked = await fetch(form.dataset.passkey, {
      method: "POST", body: new URLSearchParams(new FormData(form)), credentials: "same-origin", redirect: "error",
    });
    const plain = asked.headers.get("content-type")?.startsWith("text/plain");
    if (!asked.ok) throw new Error(plain ? await asked.text() : form.dataset.failed);
    const question = await asked.json();
    question.challenge = read(question.challenge);
    for (const known of question.excludeCredentials ?? []) known.id = read(known.id);
    if (!question.user) return navigator.credentials.get({ publicKey: question });
    question.user.id = read(question.user.id);
    return navigator.credentials.create({ publicKey: question });
  };
  const send = (form, credential) => {
    const { response } = credential;
    const answer = {
      id: credential.rawId, client_data: response.clientDataJSON, attestation: response.attestationObject,
      authenticator_data: response.authenticatorData, signature: response.signature, user_handle: response.userHandle,
    };
    for (const [name, value] of Object.entries(answer)) {
      if (form.elements[name]) form.elements[name].value = write(value);
    }
    for (const secret of form.querySelectorAll("[type=password]")) secret.disabled = true;
    // Not as an event: that would ask again.
    form.submit();
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const [button, problem] = [form.querySelector("button"), form.querySelector("[data-problem]")];
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      button.disabled = true;
      problem.hidden = true;
      try {
        send(form, await ask(form));
      } catch (e) {
        const { cancelled, known, failed } = form.dataset;
        const words = { NotAllowedError: cancelled, InvalidStateError: known, TypeError: failed };
        problem.textContent = words[e.name] ?? e.message;
        problem.hidden = false;
        button.disabled = false;
      }
    });
  }
})();
