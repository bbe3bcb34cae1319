//! Claiming the box, logging in.

use super::layout::page;
use crate::text as t;
use maud::{Markup, html};

fn problem(sentence: Option<&str>) -> Markup {
    html! { @if let Some(s) = sentence { p.note.bad role="alert" #problem { (s) } } }
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
                p.hint #code-hint { (t::CLAIM_CODE_HINT) }
                label for="name" { (t::CLAIM_NAME) }
                input #name name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" required
                    pattern="[a-z][a-z0-9_\\-]+" maxlength="32" aria-describedby="name-hint";
                p.hint #name-hint { (t::CLAIM_NAME_HINT) }
                label for="password" { (t::CLAIM_PASSWORD) }
                input #password name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="256" aria-describedby="password-hint";
                p.hint #password-hint { (t::CLAIM_PASSWORD_HINT) }
                button { (t::CLAIM_BUTTON) }
            }
        },
    )
}

/// The login page.
#[must_use]
pub fn login(refused: Option<&str>, name: &str) -> String {
    page(
        None,
        "",
        t::LOGIN_TITLE,
        false,
        html! {
            (problem(refused))
            form.card method="post" action="/admin/login" {
                label for="name" { (t::LOGIN_NAME) }
                input #name name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" required;
                label for="password" { (t::LOGIN_PASSWORD) }
                input #password name="password" type="password" autocomplete="current-password" required;
                button { (t::LOGIN_BUTTON) }
                p.hint { (t::LOGIN_LOST) }
            }
        },
    )
}
