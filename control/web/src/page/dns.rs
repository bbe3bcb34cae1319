//! Names and resolvers of the network.

use super::layout::{Viewer, form, page, prose};
use crate::text as t;
use hearthgate_core::World;
use maud::html;

/// The page. Lists are typed one entry a line.
#[must_use]
pub fn dns(viewer: &Viewer, world: &World) -> String {
    let s = world.settings();
    let split: Vec<String> = s.split_dns.iter().map(|(suffix, to)| format!("{suffix} {}", to.join(" "))).collect();
    let records: Vec<String> = s.extra_records.iter().map(|r| format!("{} {}", r.name, r.value)).collect();
    page(
        Some(viewer),
        "dns",
        "DNS",
        false,
        html! {
            section.card aria-label="DNS" {
                dl {
                    dt { "Names of devices" } dd { @if s.magic_dns { "on, under " code { (s.base_domain) } } @else { "off" } }
                    dt { "Resolvers" } dd { @if s.resolvers.is_empty() { "those of each device" } @for r in &s.resolvers { code { (r) } " " } }
                    dt { "Used instead of the device's own" } dd { (if s.override_local_dns { "yes" } else { "no" }) }
                    dt { "Search domains" } dd { @if s.search_domains.is_empty() { "none" } (s.search_domains.join(", ")) }
                    @for line in &split { dt { "By suffix" } dd { code { (line) } } }
                    @for line in &records { dt { "Further name" } dd { code { (line) } } }
                }
            }
            @if viewer.role.changes_all() {
                section.card aria-labelledby="change-title" {
                    h2 #change-title { "Change" }
                    (form(viewer, "/admin/dns", html! {
                        label.tick { input type="checkbox" name="magic" value="1" checked[s.magic_dns]; span { "Devices have names under " code { (s.base_domain) } } }
                        label.tick { input type="checkbox" name="override" value="1" checked[s.override_local_dns]; "Use these resolvers instead of the device's own" }
                        label for="resolvers" { "Resolvers" }
                        textarea.low #resolvers name="resolvers" spellcheck="false" autocapitalize="none" aria-describedby="resolvers-hint" { "\n" (s.resolvers.join("\n")) }
                        p.hint #resolvers-hint { (t::DNS_RESOLVERS_HINT) }
                        label for="search" { "Search domains" }
                        textarea.low #search name="search" spellcheck="false" autocapitalize="none" { "\n" (s.search_domains.join("\n")) }
                        label for="split" { "Resolvers by suffix" }
                        textarea.low #split name="split" spellcheck="false" autocapitalize="none" aria-describedby="split-hint" { "\n" (split.join("\n")) }
                        p.hint #split-hint { (prose(t::DNS_SPLIT_HINT)) }
                        label for="records" { "Further names" }
                        textarea.low #records name="records" spellcheck="false" autocapitalize="none" aria-describedby="records-hint" { "\n" (records.join("\n")) }
                        p.hint #records-hint { (prose(t::DNS_RECORDS_HINT)) }
                        button { "Save" }
                    }))
                    p.hint { (t::DNS_HINT) }
                }
            }
        },
    )
}
