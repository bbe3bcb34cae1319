//! Users of the tailnet, and the accounts of these pages.

use super::layout::{Viewer, confirm, form, page, when};
use crate::{Role, account, text as t};
use hearthgate_core::World;
use maud::{Markup, html};

/// What a policy calls `autogroup:ROLE`.
const ROLES: [&str; 7] = ["member", "owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor"];

/// The page.
#[must_use]
pub fn users(viewer: &Viewer, world: &World) -> String {
    page(
        Some(viewer),
        "users",
        "Users",
        false,
        html! {
            section.card aria-label="Users" {
                ul.list {
                    @for user in world.users() {
                        @let count = world.nodes().filter(|n| !n.is_tagged() && n.user == user.id).count();
                        li {
                            p.row { span.grow { span.name { (user.name) } " " span.soft { (user.display_name) " " (user.email) } }
                                span.soft.small { (t::count(count, "device")) ", since " (when(Some(user.created), "")) } }
                            @if viewer.role.changes_all() {
                                details {
                                    summary { "Change " (user.name) }
                                    (form(viewer, &format!("/admin/user/{}/rename", user.id), html! {
                                        label for={ "name-" (user.id) } { "New name" }
                                        input id={ "name-" (user.id) } name="name" value=(user.name) required autocapitalize="none";
                                        button.quiet { "Rename" }
                                    }))
                                    (form(viewer, &format!("/admin/user/{}/role", user.id), html! {
                                        label for={ "role-" (user.id) } { (t::USER_ROLE) }
                                        div.row {
                                            select id={ "role-" (user.id) } name="role" {
                                                @for role in ROLES { option value=(role) selected[role == user.role || (user.role.is_empty() && role == "member")] { (role) } }
                                            }
                                            button.quiet { "Set" }
                                        }
                                    }))
                                    (confirm(viewer, &format!("/admin/user/{}/delete", user.id), "Remove this user",
                                        "Only a user without devices can be removed. Keys made for them stop working.", "Yes, remove"))
                                }
                            }
                        }
                    }
                }
                @if viewer.role.changes_all() {
                    details {
                        summary { "Add a user" }
                        (form(viewer, "/admin/user", html! {
                            label for="new-name" { "Name" }
                            input #new-name name="name" required autocapitalize="none" spellcheck="false";
                            label for="new-display" { "Name to show" }
                            input #new-display name="displayName";
                            label for="new-email" { "Mail address" }
                            input #new-email name="email" type="email";
                            button { "Add" }
                        }))
                    }
                }
            }
            (accounts(viewer, world))
        },
    )
}

fn accounts(viewer: &Viewer, world: &World) -> Markup {
    html! {
        section.card aria-labelledby="accounts-title" {
            h2 #accounts-title { "Accounts of these pages" }
            p.hint { (t::ACCOUNTS_HINT) }
            ul.list {
                @for account in account::all(world) {
                    li {
                        span.name { (account.name) } " " span.soft { (account.role.name()) }
                        @if viewer.role.is_owner() && account.name != viewer.name {
                            (form(viewer, &format!("/admin/account/{}/role", account.name), html! {
                                div.row {
                                    select name="role" aria-label={ "Role of " (account.name) } {
                                        @for role in Role::ALL { option value=(role.name()) selected[role == account.role] { (role.name()) } }
                                    }
                                    button.quiet { "Change role" }
                                }
                            }))
                            (confirm(viewer, &format!("/admin/account/{}/delete", account.name), "Remove this account", "It is logged out at once.", "Yes, remove"))
                        }
                    }
                }
            }
            @if viewer.role.is_owner() {
                details {
                    summary { "Add an account" }
                    (form(viewer, "/admin/account", html! {
                        label for="account-name" { "Name" }
                        input #account-name name="name" required autocapitalize="none" spellcheck="false" maxlength="32";
                        label for="account-role" { "Role" }
                        select #account-role name="role" { @for role in Role::ALL { option value=(role.name()) { (role.name()) } } }
                        label for="account-user" { "Its own devices are those of" }
                        select #account-user name="user" { option value="" { "nobody" } @for u in world.users() { option value=(u.id) { (u.name) } } }
                        label for="account-password" { "Password" }
                        input #account-password name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="256";
                        button { "Add" }
                    }))
                }
            }
            p { a href="/admin/account" { (t::ACCOUNT_TITLE) } ": " (t::ACCOUNT_LINK) }
        }
    }
}
