//! Backup and restore: the part of the System page, and the page that shows what a backup holds before it is put in
//! place.

use super::layout::{Viewer, form, page, post_button, prose, when};
use crate::{
    restore::{Kept, Summary},
    text as t,
    traffic::bytes,
};
use hearthgate_core::World;
use maud::{Markup, html};

/// The part of the System page, for owners.
#[must_use]
pub fn section(viewer: &Viewer, kept: Option<Kept>) -> Markup {
    html! {
        section.card aria-labelledby="backup-title" {
            h2 #backup-title { "Backup" }
            p.hint { (prose(t::BACKUP_HINT)) }
            (form(viewer, "/admin/backup", html! { button.quiet { (t::BACKUP_BUTTON) } }))
            details {
                summary { (t::RESTORE) }
                p.hint { (t::RESTORE_HINT) }
                // The token comes before the file, so that it is checked before anything of the file is kept.
                form method="post" action="/admin/restore" enctype="multipart/form-data" {
                    input type="hidden" name="csrf" value=(viewer.csrf);
                    label for="backup-file" { (t::RESTORE_FILE) }
                    input #backup-file type="file" name="file" required;
                    button.quiet { (t::RESTORE_SEND) }
                }
            }
            @if let Some(kept) = kept {
                details {
                    summary { (t::RESTORE_BACK) }
                    p.hint { (t::RESTORE_KEPT) " " (when(kept.made, "")) " (" (bytes(kept.bytes)) ")." }
                    (post_button(viewer, "/admin/restore/previous", "quiet", t::RESTORE_SEND, &[]))
                }
            }
        }
    }
}

/// What a backup holds beside what is there, and the choice.
#[must_use]
pub fn confirm(viewer: &Viewer, world: &World, summary: &Summary) -> String {
    let (devices, users) = (world.nodes().count(), world.users().count());
    let made = summary.made.or(summary.last_entry);
    page(
        Some(viewer),
        "system",
        t::RESTORE,
        false,
        html! {
            section.card aria-labelledby="holds-title" {
                h2 #holds-title { (t::RESTORE_HOLDS) }
                div.scroll tabindex="0" role="region" aria-label=(t::RESTORE_TABLE) {
                    table {
                        thead { tr { td {} th scope="col" { (t::RESTORE_THEN) } th scope="col" { (t::RESTORE_NOW) } } }
                        tbody {
                            tr { th scope="row" { "Devices" } td { (summary.devices) } td { (devices) } }
                            tr { th scope="row" { "Users" } td { (summary.users) } td { (users) } }
                            tr { th scope="row" { "Made" } td { (when(made, t::RESTORE_AGE_UNKNOWN)) } td { "now" } }
                            @if let Some(network) = &summary.network {
                                tr { th scope="row" { "Network" } td { (network) } td { (world.settings().base_domain) } }
                            }
                            @if let Some(version) = &summary.version {
                                tr { th scope="row" { (t::RESTORE_VERSION) } td { (version) } td { (env!("CARGO_PKG_VERSION")) } }
                            }
                        }
                    }
                }
                p { @if summary.owners.is_empty() { (t::RESTORE_UNCLAIMED) } @else { (t::RESTORE_OWNERS) " " strong { (summary.owners.join(", ")) } "." } }
                @if !summary.keys { p.warn { (t::RESTORE_NO_KEYS) } }
            }
            section.card aria-labelledby="sure-title" {
                h2 #sure-title { (t::RESTORE_SURE) }
                p { (t::RESTORE_WHAT) }
                div.row {
                    (post_button(viewer, "/admin/restore/confirm", "danger", t::RESTORE_CONFIRM, &[("id", &summary.id)]))
                    (post_button(viewer, "/admin/restore/forget", "quiet", t::RESTORE_FORGET, &[]))
                }
            }
        },
    )
}
