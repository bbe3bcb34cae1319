//! The policy: who may reach what.

use super::layout::{Viewer, form, page};
use crate::text as t;
use maud::html;

/// The page. `policy` is the text in force, if there is one; `draft` what was typed and refused. Without `editable`
/// the policy comes from a file.
#[must_use]
pub fn policy(viewer: &Viewer, policy: Option<&str>, draft: Option<&str>, editable: bool) -> String {
    let shown = draft.or(policy).unwrap_or_default();
    page(Some(viewer), "policy", "Policy", false, html! {
        @if policy.is_none() { p { (t::POLICY_NONE) } }
        @if editable && viewer.role.changes_all() {
            (form(viewer, "/admin/policy", html! {
                label for="policy" { "Policy (HuJSON)" }
                textarea #policy name="policy" spellcheck="false" autocapitalize="none" { (shown) }
                div.row { button name="do" value="save" { "Save" } button.quiet name="do" value="check" { "Check only" } }
            }))
        } @else if !shown.is_empty() {
            pre tabindex="0" { (shown) }
        }
    })
}
