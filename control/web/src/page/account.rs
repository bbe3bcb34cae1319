//! Claiming the box, logging in, and one's own account: password and passkeys.

use super::layout::{Viewer, form, page, post_button, prose, when};
use crate::{
    passkey::{self, NAME_MAX, NotOffered, PASSKEYS_MAX, Passkey, Site},
    text as t,
};
use hearthgate_core::World;
use maud::{Markup, html};

fn problem(sentence: Option<&str>) -> Markup {
    html! { @if let Some(s) = sentence { p.note.bad role="alert" #problem { (prose(s)) } } }
}

/// The first page of a new box. `name` and `code` are what was typed before, when it was refused.
#[must_use]
pub fn claim(refused: Option<&str>, name: &str) -> String {
    page(
        None,
        "",
        t::CLAIM_TITLE,
        false,
        html! {
            p { (t::CLAIM_LEAD) }
            (problem(refused))
            form.card method="post" action="/admin/claim" {
                label for="code" { (t::CLAIM_CODE) }
                input #code name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required aria-describedby="code-hint";
                p.hint #code-hint { (prose(t::CLAIM_CODE_HINT)) }
                label for="name" { (t::CLAIM_NAME) }
                input #name name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" required
                    pattern="[a-z][a-z0-9_\\-]+" maxlength="32" aria-describedby="name-hint";
                p.hint #name-hint { (t::CLAIM_NAME_HINT) }
                label for="password" { (t::CLAIM_PASSWORD) }
                input #password name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="256" aria-describedby="password-hint";
                p.hint #password-hint { (prose(t::CLAIM_PASSWORD_HINT)) }
                button { (t::CLAIM_BUTTON) }
            }
        },
    )
}

/// The login page. `passkeys` says whether somebody can have one for where it is shown.
#[must_use]
pub fn login(refused: Option<&str>, name: &str, passkeys: bool) -> String {
    page(
        None,
        "",
        t::LOGIN_TITLE,
        false,
        html! {
            (problem(refused))
            @if passkeys {
                form.card #passkey method="post" action="/admin/login/passkey" data-passkey="/admin/login/ask"
                    data-cancelled=(t::PASSKEY_CANCELLED) data-failed=(t::PASSKEY_FAILED) hidden {
                    (answer(&["id", "client_data", "authenticator_data", "signature", "user_handle"]))
                    button { (t::PASSKEY_LOGIN) }
                    p.hint { (t::PASSKEY_LOGIN_HINT) }
                }
                script src="/admin/passkey.js" defer {}
            }
            form.card method="post" action="/admin/login" {
                label for="name" { (t::LOGIN_NAME) }
                input #name name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" required;
                label for="password" { (t::LOGIN_PASSWORD) }
                input #password name="password" type="password" autocomplete="current-password" required;
                button { (t::LOGIN_BUTTON) }
                p.hint { (prose(t::LOGIN_LOST)) }
            }
        },
    )
}

/// What the script fills in, and where it says what went wrong.
fn answer(fields: &[&str]) -> Markup {
    html! {
        @for field in fields { input type="hidden" name=(field); }
        p.note.bad role="alert" data-problem hidden {}
    }
}

/// The page of who is logged in: password and passkeys. `site` is where the page is shown.
#[must_use]
pub fn own(viewer: &Viewer, world: &World, site: &Result<Site, NotOffered>) -> String {
    let keys = passkey::mine(world, &viewer.name);
    page(
        Some(viewer),
        "account",
        t::ACCOUNT_TITLE,
        false,
        html! {
            p { (t::ACCOUNT_WHO) " " strong { (viewer.name) } ", " (t::role(viewer.role)) "." }
            section.card aria-labelledby="passkeys-title" {
                h2 #passkeys-title { (t::PASSKEYS) }
                p.hint { (t::PASSKEYS_HINT) }
                @if !keys.is_empty() {
                    ul.list #passkeys { @for key in &keys { (row(viewer, key)) } }
                }
                @match site {
                    Ok(site) => (add(viewer, site, keys.len())),
                    Err(NotOffered::Plain) => p.note { (prose(t::PASSKEYS_PLAIN)) },
                    Err(NotOffered::Address) => p.note { (prose(t::PASSKEYS_ADDRESS)) },
                }
            }
            section.card aria-labelledby="password-title" {
                h2 #password-title { (t::PASSWORD_CHANGE) }
                (form(viewer, "/admin/password", html! {
                    label for="old-password" { (t::PASSWORD_OLD) }
                    input #old-password name="old" type="password" autocomplete="current-password" required;
                    label for="my-password" { (t::CLAIM_PASSWORD) }
                    input #my-password name="password" type="password" autocomplete="new-password" required
                        minlength="10" maxlength="256" aria-describedby="my-password-hint";
                    p.hint #my-password-hint { (t::PASSWORD_CHANGE_HINT) }
                    button { (t::PASSWORD_BUTTON) }
                }))
            }
        },
    )
}

fn row(viewer: &Viewer, key: &Passkey) -> Markup {
    html! {
        li {
            p.row {
                span.grow { span.name { (key.name) } " " span.soft { (t::PASSKEY_FOR) " " (key.site) } }
                span.soft.small { (t::PASSKEY_USED) " " (when(key.used, t::NEVER)) }
            }
            p.hint { (t::PASSKEY_MADE) " " (when(Some(key.created), "")) @if key.syncable { ". " (t::PASSKEY_SYNCED) } }
            details {
                summary { (t::PASSKEY_REMOVE) " " (key.name) }
                p.hint { (t::PASSKEY_REMOVE_HINT) }
                (post_button(viewer, "/admin/passkey/remove", "danger", t::PASSKEY_REMOVE_SURE, &[("id", &key.id)]))
            }
        }
    }
}

fn add(viewer: &Viewer, site: &Site, count: usize) -> Markup {
    html! {
        @if count >= PASSKEYS_MAX {
            p.note { (t::PASSKEYS_FULL) }
        } @else {
            noscript { p.note { (t::PASSKEYS_SCRIPT) } }
            form #new-passkey method="post" action="/admin/passkey" data-passkey="/admin/passkey/ask"
                data-cancelled=(t::PASSKEY_CANCELLED) data-failed=(t::PASSKEY_FAILED) data-known=(t::PASSKEY_KNOWN) hidden {
                input type="hidden" name="csrf" value=(viewer.csrf);
                label for="passkey-name" { (t::PASSKEY_NAME) }
                input #passkey-name name="name" maxlength=(NAME_MAX) autocomplete="off" required
                    aria-describedby="passkey-hint";
                p.hint #passkey-hint { (t::PASSKEY_NAME_HINT) " " (site.name) "." }
                label for="passkey-password" { (t::PASSWORD_OLD) }
                input #passkey-password name="old" type="password" autocomplete="current-password" required;
                (answer(&["client_data", "attestation"]))
                button { (t::PASSKEY_ADD) }
            }
            script src="/admin/passkey.js" defer {}
        }
    }
}
