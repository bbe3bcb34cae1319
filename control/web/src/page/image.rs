//! The part of the System page that a box with one of our images has: its slot, its last upgrade, the next one.

use super::layout::Viewer;
use maud::{Markup, html};
use serde::Deserialize;

/// What the image's init says (`image/init/src/stage2.rs`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImageStatus {
    /// The slot that runs.
    pub slot: String,
    /// How the last upgrade ended, as a sentence.
    pub outcome: String,
    /// Why the last file was refused; empty if none was.
    pub refused: String,
    /// When the running system's sources were made, seconds since 1970; 0 if it does not say.
    pub built: u64,
}

/// Slot, outcome, and for owners the form. The token comes before the file, so that it is checked before anything of
/// the file is kept.
#[must_use]
pub fn section(viewer: &Viewer, status: Option<&ImageStatus>) -> Markup {
    html! {
        section.card aria-labelledby="upgrade-title" {
            h2 #upgrade-title { "Upgrade" }
            @if let Some(status) = status {
                dl {
                    dt { "Running from" } dd { "slot " (status.slot) }
                    dt { "Last upgrade" } dd { (status.outcome) }
                    @if !status.refused.is_empty() { dt { "Last file" } dd { "refused: " (status.refused) } }
                }
            }
            @if viewer.role.is_owner() {
                p.hint {
                    "A signed upgrade file (.hgu) goes into the slot that is not running, and is tried once. If the new "
                    "version is not well within two minutes, the box goes back to this one by itself. The box restarts."
                }
                form method="post" action="/admin/upgrade" enctype="multipart/form-data" {
                    input type="hidden" name="csrf" value=(viewer.csrf);
                    label for="upgrade-file" { "Upgrade file" }
                    input #upgrade-file type="file" name="file" accept=".hgu" required;
                    button.quiet { "Send and restart" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, page::layout::Viewer};

    fn shown(role: Role) -> String {
        let viewer = Viewer { name: "eve".into(), role, user: None, csrf: "token".into(), notice: None };
        let status = ImageStatus { slot: "B".into(), outcome: "all <well>".into(), ..ImageStatus::default() };
        section(&viewer, Some(&status)).into_string()
    }

    #[test]
    fn owners_get_the_form_with_the_token_before_the_file() {
        let owner = shown(Role::Owner);
        assert!(owner.find("name=\"csrf\"").unwrap() < owner.find("type=\"file\"").unwrap());
        assert!(owner.contains("all &lt;well&gt;") && !owner.contains("refused"));
        assert!(!shown(Role::Auditor).contains("<form"));
    }
}
