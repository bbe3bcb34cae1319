//! The dynamic name on the page "How the world reaches this box": one fold per service, with the fields it needs.

use super::layout::{Viewer, confirm, form, post_button, prose};
use crate::{dyndns::Dyndns, text as t};
use hearthgate_dyndns::{SERVICES, Service};
use maud::{Markup, html};

/// What is set and how it is, or what can be set.
pub(super) fn step(viewer: &Viewer, dyndns: Option<&Dyndns>) -> Markup {
    html! {
        @if let Some(own) = dyndns {
            (post_button(viewer, "/admin/setup/dyndns/update", "quiet", t::DYNDNS_UPDATE, &[]))
            @if own.configured {
                p.hint { (prose(t::DYNDNS_CONFIGURED)) }
            } @else {
                @let (label, hint) = (t::DYNDNS_REMOVE, t::DYNDNS_REMOVE_HINT);
                (confirm(viewer, "/admin/setup/dyndns/remove", label, hint, label))
            }
        }
        @if !dyndns.is_some_and(|d| d.configured) {
            details #dyndns {
                summary { (if dyndns.is_some() { t::DYNDNS_OTHER } else { t::DYNDNS_TITLE }) }
                p.hint { (prose(t::DYNDNS_HINT)) }
                // Where to ask is for owners to say.
                @for service in SERVICES.iter().filter(|s| s.url.is_none() || viewer.role.is_owner()) {
                    (one(viewer, service, dyndns))
                }
            }
        }
    }
}

fn one(viewer: &Viewer, service: &Service, now: Option<&Dyndns>) -> Markup {
    let id = |field: &str| format!("dyndns-{}-{field}", service.id);
    let field = |name: &str, label: &str, kind: &str, hint: &str, value: &str, required: bool| {
        html! {
            label for=(id(name)) { (label) }
            input id=(id(name)) name=(name) type=(kind) value=(value) placeholder=(hint) required[required]
                maxlength="500" autocomplete="off" autocapitalize="none" spellcheck="false";
        }
    };
    let own = service.id == "url";
    // What was set for this service stands in its fields; what is secret is kept if nothing is typed.
    let same = now.filter(|d| d.id == service.id);
    let kept = |hint: &'static str| if same.is_some() { t::DYNDNS_KEPT } else { hint };
    let families = match same.map(|d| (d.ipv4, d.ipv6)) {
        Some((true, false)) => "4",
        Some((false, true)) => "6",
        _ => "46",
    };
    html! {
        details {
            summary { (service.label) }
            (form(viewer, "/admin/setup/dyndns", html! {
                input type="hidden" name="service" value=(service.id);
                (field("name", t::DYNDNS_NAME, "text", "home.example.org", now.map_or("", |d| &d.name), true))
                @if let Some(label) = service.url {
                    @let hint = if own { "https://…?host={name}&ip={ip4}" } else { "ns1.example.org" };
                    (field("url", label, "text", kept(hint), "", same.is_none()))
                    @if own { p.hint { (prose(t::DYNDNS_URL_HINT)) } }
                }
                @if service.is_name_server() { (field("zone", t::DYNDNS_ZONE, "text", "example.org", same.map_or("", |d| &d.zone), false)) }
                @if let Some(label) = service.user { (field("user", label, "text", "", same.map_or("", |d| &d.user), !own)) }
                (field("secret", service.secret, "password", kept(""), "", !own && same.is_none()))
                @if service.takes_both() {
                    label for=(id("families")) { (t::DYNDNS_FAMILIES) }
                    select id=(id("families")) name="families" {
                        @for (value, label) in [("46", t::DYNDNS_BOTH), ("4", "IPv4"), ("6", "IPv6")] {
                            option value=(value) selected[value == families] { (label) }
                        }
                    }
                }
                @if service.takes_ttl() {
                    label for=(id("ttl")) { (t::DYNDNS_TTL) }
                    input id=(id("ttl")) name="ttl" type="number" min="30" max="86400" value=(same.map_or(60, |d| d.ttl));
                }
                button.quiet { (t::DYNDNS_SAVE) }
            }))
        }
    }
}
