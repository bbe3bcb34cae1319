//! Adding a device: a key made for it, codes to scan, the steps for each kind of device, and its arrival.

use super::layout::{Viewer, form, page};
use crate::{qr, session::Join, text as t};
use hearthgate_core::{Node, Now, World};
use maud::{Markup, html};

/// Where a device is told what to do.
pub const HELP_PATH: &str = "/join";

/// The form that makes a key.
#[must_use]
pub fn ask(viewer: &Viewer, world: &World) -> String {
    page(
        Some(viewer),
        "devices",
        t::JOIN_TITLE,
        false,
        html! {
            (form(viewer, "/admin/join", html! {
                @if viewer.role.changes_all() {
                    label for="user" { (t::JOIN_OWNER) }
                    select #user name="user" {
                        @for user in world.users() { option value=(user.id) selected[viewer.user == Some(user.id)] { (user.shown_name()) } }
                    }
                }
                p.hint { (t::JOIN_HINT) }
                button { (t::JOIN_BUTTON) }
            }))
            p.hint { (t::JOIN_NO_KEY) }
        },
    )
}

/// The page of a key: how to use it, and the device as soon as it is there.
#[must_use]
pub fn wait(viewer: &Viewer, world: &World, join: &Join, now: Now) -> String {
    let url = &world.settings().server_url;
    let help = format!("{url}{HELP_PATH}");
    let arrived = world.nodes().find(|n| n.preauth_key == Some(join.key_id));
    let line = format!("tailscale up --login-server {url} --authkey {}", join.key.reveal());
    page(
        Some(viewer),
        "devices",
        t::JOIN_TITLE,
        arrived.is_none(),
        html! {
            div #arrival data-live { (arrival(world, arrived.map(AsRef::as_ref), now)) }
            @if arrived.is_none() {
                section.card aria-labelledby="phone-title" {
                    h2 #phone-title { "Phone, tablet, television" }
                    (steps_phone(url))
                    div.row {
                        div { p { (t::JOIN_SCAN) } (qr::svg(&help, &format!("Code with the address {help}"))) }
                        div { p { (t::JOIN_SCAN_KEY) } (qr::svg(join.key.reveal(), "Code with the key of this page")) }
                    }
                }
                section.card aria-labelledby="computer-title" {
                    h2 #computer-title { "Linux, Mac, Windows" }
                    p { "Install Tailscale from tailscale.com/download, then type in a terminal (on Windows and Mac without sudo):" }
                    pre #line { "sudo " (line) }
                    (copy("line"))
                }
                section.card aria-labelledby="values-title" {
                    h2 #values-title { "To copy" }
                    p { "Address of this box" } pre #server { (url) } (copy("server"))
                    p { "Key, good for one device and one hour" } pre #key { (join.key.reveal()) } (copy("key"))
                }
            }
            p { a href="/admin/devices" { "All devices" } }
        },
    )
}

fn arrival(world: &World, node: Option<&Node>, now: Now) -> Markup {
    html! {
        @match node {
            None => p.note.wait role="status" { (t::JOIN_WAITING) },
            Some(node) => div.note role="status" {
                p { strong.good { "It is there: " } a.name #arrived href={ "/admin/device/" (node.id) } { (node.given_name) } " " (super::devices::state(node, now)) }
                p { code { (node.ips().map(|ip| ip.to_string()).collect::<Vec<_>>().join("  ")) } " · " (super::devices::owner(world, node)) }
                p { a.button href="/admin/join" { "Add another" } }
            },
        }
    }
}

/// A button that copies; the script shows it where it can work.
fn copy(id: &str) -> Markup {
    html! { button.quiet type="button" hidden data-copy=(id) data-done="Copied" aria-label={ "Copy " (id) } { "Copy" } }
}

fn steps_phone(url: &str) -> Markup {
    html! {
        details open {
            summary { "iPhone, iPad" }
            p { "Install Tailscale, then install this " a href="/apple/ios" { "profile" } ": it tells the app the address of this box. Or by hand:" }
            ol {
                li { "Install Tailscale from the App Store and open it." }
                li { "Tap the account picture, then Log in, then the menu with three dots, then “Use custom coordination server”." }
                li { "Enter " code { (url) } " and log in." }
            }
        }
        details {
            summary { "Android" }
            ol {
                li { "Install Tailscale from the Play Store or F-Droid and open it." }
                li { "Settings, Accounts, the menu with three dots, “Use an alternate server”: enter " code { (url) } "." }
                li { "Log in, or “Use an auth key” in the same menu and paste the key." }
            }
        }
        details {
            summary { "Apple TV" }
            ol {
                li { "Install Tailscale from the App Store." }
                li { "In the app's settings choose the custom server and enter " code { (url) } ", then log in with the code it shows." }
            }
        }
    }
}

/// The page behind the code: anybody on the LAN may read it; it holds no secret.
#[must_use]
pub fn help(url: &str) -> String {
    page(
        None,
        "",
        "Join this network",
        false,
        html! {
            section.card aria-label="Address" { p { "Address of this box, to copy:" } pre #server { (url) } (copy("server")) }
            section.card aria-label="Steps" {
                (steps_phone(url))
                details {
                    summary { "Linux, Mac, Windows" }
                    p { "Install Tailscale, then in a terminal:" }
                    pre { "tailscale up --login-server " (url) }
                }
            }
            p.soft { "After you logged in, somebody who looks after this network lets the device in, unless you used a key." }
        },
    )
}
