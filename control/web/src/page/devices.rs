//! The list of devices, with the logins that wait.

use super::layout::{Viewer, form, page, post_button, when};
use crate::{paths::BoxPaths, text as t};
use hearthgate_core::{Node, Now, World};
use maud::{Markup, html};

/// Whether a node is online, as a word with a dot.
pub(super) fn state(node: &Node, now: Now) -> Markup {
    html! {
        @if node.waiting { span.dot.warn { (t::UNAPPROVED) } }
        @else if node.is_expired(now.wall) { span.dot.bad { (t::EXPIRED) } }
        @else if node.path.online { span.dot.good { (t::ONLINE) } }
        @else { span.dot.soft { (t::OFFLINE) } }
    }
}

/// Owner as text: the user's name or the tags.
pub(super) fn owner(world: &World, node: &Node) -> String {
    if node.is_tagged() {
        return node.tags.join(", ");
    }
    world.users().find(|u| u.id == node.user).map_or_else(|| format!("user {}", node.user), |u| u.name.clone())
}

/// The page. `paths` is what the box's own router says, if it has one.
#[must_use]
pub fn devices(viewer: &Viewer, world: &World, paths: Option<&BoxPaths>, now: Now) -> String {
    let mut nodes: Vec<_> = world.nodes().filter(|n| viewer.sees(n)).collect();
    hearthgate_sorted::sort_by(&mut nodes, |a, b| a.given_name.cmp(&b.given_name));
    page(
        Some(viewer),
        "devices",
        "Devices",
        true,
        html! {
            @if viewer.role != crate::Role::Auditor { p { a.button href="/admin/join" { (t::DEVICE_ADD) } } }
            div #live data-live {
                @if viewer.role.sees_all() { (waiting(viewer, world)) (super::checks::waiting(viewer, world, now)) (addresses(viewer, world)) }
                section.card aria-label="Devices" {
                    @if nodes.is_empty() { p { (t::DEVICES_NONE) } }
                    ul.list #devices {
                        @for node in nodes {
                            li.row {
                                span.grow {
                                    a.name href={ "/admin/device/" (node.id) } { (node.given_name) } " "
                                    span.soft.small { (node.hostinfo.os) " · " (owner(world, node)) }
                                    br;
                                    code.small { (node.ips().map(|ip| ip.to_string()).collect::<Vec<_>>().join("  ")) }
                                }
                                span { (state(node, now)) }
                                (super::paths::brief(paths, node))
                                @if node.waiting && viewer.role.changes_all() { (approve(viewer, node)) }
                                @if !node.path.online { span.soft.small { "last seen " (when(node.last_seen, t::NEVER)) } }
                            }
                        }
                    }
                }
            }
            @if viewer.role.sees_all() {
                @if world.plain_settings().is_ok() { p { a href="/admin/wireguard" { (t::PLAIN_TITLE) } } }
                (approval(viewer, world))
            }
        },
    )
}

/// Offered when the configuration has gained or lost an address family since devices joined.
fn addresses(viewer: &Viewer, world: &World) -> Markup {
    let (v4, v6) = (world.settings().prefix_v4.is_some(), world.settings().prefix_v6.is_some());
    let odd = world.nodes().filter(|n| n.ipv4.is_some() != v4 || n.ipv6.is_some() != v6).count();
    html! {
        @if odd > 0 && viewer.role.changes_all() {
            section.card aria-labelledby="addresses-title" {
                h2 #addresses-title { (t::ADDRESSES) }
                p.hint { (t::count(odd, "device")) " " (t::ADDRESSES_HINT) }
                (post_button(viewer, "/admin/addresses", "quiet", t::ADDRESSES_GIVE, &[]))
            }
        }
    }
}

/// The button that lets a waiting device in.
pub(super) fn approve(viewer: &Viewer, node: &Node) -> Markup {
    form(
        viewer,
        &format!("/admin/device/{}/approve", node.id),
        html! { button aria-label={ (t::APPROVE) " " (node.given_name) } { (t::APPROVE) } },
    )
}

/// Whether new devices wait, and the switch.
fn approval(viewer: &Viewer, world: &World) -> Markup {
    let on = world.settings().device_approval;
    html! {
        section.card #approval aria-labelledby="approval-title" {
            h2 #approval-title { (t::APPROVAL) }
            p.hint { (if on { t::APPROVAL_ON } else { t::APPROVAL_OFF }) }
            @if viewer.role.changes_all() {
                @let label = if on { t::APPROVAL_SWITCH_OFF } else { t::APPROVAL_SWITCH_ON };
                (post_button(viewer, "/admin/approval", "quiet", label, &[("on", if on { "0" } else { "1" })]))
            }
        }
    }
}

/// Logins that wait for a person.
fn waiting(viewer: &Viewer, world: &World) -> Markup {
    let logins: Vec<_> = world.pending_logins().collect();
    let users: Vec<_> = world.users().collect();
    html! {
        @if !logins.is_empty() {
            section.card #waiting aria-labelledby="waiting-title" {
                h2 #waiting-title { (t::DEVICES_WAITING) }
                ul.list {
                    @for (id, login) in logins {
                        @let info = login.request.hostinfo.as_ref();
                        @let name = info.map_or("unknown", |h| h.hostname.as_str());
                        li {
                            p { span.name { (name) } " " span.soft.small { (info.map_or("", |h| h.os.as_str())) " · key " (login.machine_key.short()) } }
                            @if viewer.role.changes_all() {
                                div.row {
                                    (super::form(viewer, "/admin/login/approve", html! {
                                        input type="hidden" name="id" value=(id);
                                        div.row {
                                            select name="user" aria-label={ "Owner of " (name) } {
                                                @for user in &users {
                                                    option value=(user.id) selected[viewer.user == Some(user.id)] { (user.name) }
                                                }
                                            }
                                            button { (t::DEVICE_APPROVE) }
                                        }
                                    }))
                                    (post_button(viewer, "/admin/login/reject", "quiet", t::DEVICE_REJECT, &[("id", &id.to_string())]))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
