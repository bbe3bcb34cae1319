//! Devices without a client: what they reach, and the configuration of a new one with its picture, shown once.

use super::layout::{Viewer, confirm, form, page, when};
use crate::{qr, text as t};
use hearthgate_core::{PlainAccess, PlainDevice, World};
use maud::{Markup, html};

/// The page. `fresh` is the configuration of a device that was added just now.
#[must_use]
pub fn plain(viewer: &Viewer, world: &World, fresh: Option<&str>) -> String {
    let on = world.plain_settings().is_ok();
    page(
        Some(viewer),
        "devices",
        t::PLAIN_TITLE,
        false,
        html! {
            @if let Some(configuration) = fresh {
                div.note role="status" {
                    p { strong { (t::PLAIN_SHOWN_ONCE) } }
                    (qr::svg(configuration, t::PLAIN_QR))
                    pre #fresh { (configuration) }
                }
            }
            p.hint { (t::PLAIN_HINT) }
            @if !on { p.note { (t::PLAIN_OFF) } }
            section.card aria-labelledby="plain-title" {
                h2 #plain-title { "Added" }
                ul.list #plain {
                    @for device in &world.plain_devices() {
                        li.row {
                            span.grow { strong { (device.name) } br; span.soft.small {
                                (device.address) " · " (reaches(device.access)) " · since " (when(Some(device.created), "")) } }
                            @if viewer.role.changes_all() {
                                (change(viewer, device))
                                (confirm(viewer, &format!("/admin/wireguard/{}/remove", device.id), "Remove", t::PLAIN_REMOVE_HINT, "Yes, remove"))
                            }
                        }
                    }
                }
                @if on && viewer.role.changes_all() { (add(viewer)) }
            }
            p { a href="/admin/devices" { "All devices" } }
        },
    )
}

fn reaches(access: PlainAccess) -> String {
    let all = [(access.lan, t::PLAIN_LAN), (access.internet, t::PLAIN_INTERNET), (access.tailnet, t::PLAIN_TAILNET)];
    all.iter().filter(|(may, _)| *may).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// Another name, other things to reach.
fn change(viewer: &Viewer, device: &PlainDevice) -> Markup {
    let id = format!("plain-{}", device.id);
    html! {
        details {
            summary { "Change" }
            (form(viewer, &format!("/admin/wireguard/{}/change", device.id), html! {
                label for=(id) { "What it is" }
                input id=(id) name="name" value=(device.name) maxlength="64" required;
                (ticks(device.access))
                p.hint { (t::PLAIN_CHANGE_HINT) }
                button { "Save" }
            }))
        }
    }
}

fn ticks(access: PlainAccess) -> Markup {
    html! {
        fieldset {
            legend { "It reaches" }
            label.tick { input type="checkbox" name="lan" value="1" checked[access.lan]; (t::PLAIN_LAN) }
            label.tick { input type="checkbox" name="internet" value="1" checked[access.internet]; (t::PLAIN_INTERNET) }
            label.tick { input type="checkbox" name="tailnet" value="1" checked[access.tailnet]; (t::PLAIN_TAILNET) }
        }
    }
}

fn add(viewer: &Viewer) -> Markup {
    html! {
        details {
            summary { "Add a device" }
            (form(viewer, "/admin/wireguard", html! {
                label for="plain-name" { "What it is" }
                input #plain-name name="name" maxlength="64" required placeholder="printer";
                (ticks(PlainAccess::default()))
                button { "Add" }
            }))
        }
    }
}
