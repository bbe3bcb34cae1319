//! The part of the System page that tells of a newer version.

use super::layout::Viewer;
use hearthgate_core::host_of;
use maud::{Markup, html};
use serde::Serialize;

/// What is known of the feed of versions, for pages and tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct News {
    /// The version that runs.
    pub running: String,
    /// Whom we ask.
    pub url: String,
    /// The version that the feed has; empty before it was asked.
    pub version: String,
    /// It is newer, and there is a file for this kind of machine.
    pub newer: bool,
    /// What the owner runs on the host; empty on an image, and without something newer.
    pub command: String,
    /// The box fetches and installs it itself: one of our images.
    pub by_itself: bool,
    /// Why the last look or the last fetch failed; empty if it did not.
    pub error: String,
    /// `looking`, `fetching`, or nothing.
    pub doing: String,
}

/// Version, and for owners what to do.
#[must_use]
pub fn section(viewer: &Viewer, news: &News) -> Markup {
    let button = |path: &str, text: &str| super::form(viewer, path, html! { button.quiet { (text) } });
    html! {
        section.card aria-labelledby="feed-title" {
            h2 #feed-title { "New versions" }
            @if news.newer {
                p { strong { "Version " (news.version) " is there." } " This box runs " (news.running) "." }
            } @else if news.version.is_empty() {
                p { "The feed was not asked yet." }
            } @else {
                p { "The feed has version " (news.version) "; there is nothing newer for this box." }
            }
            // The URL may hold a secret of its owner, and failures may name it.
            @if !news.error.is_empty() {
                p role="alert" { @if viewer.role.is_owner() { "Not done: " (news.error) } @else { "The last try failed." } }
            }
            @if news.doing == "fetching" {
                p role="status" { "The new version is being fetched. The box then checks it and restarts with it." }
            } @else if news.doing == "looking" {
                p role="status" { "The feed is being asked." }
            } @else if viewer.role.is_owner() {
                @if !news.command.is_empty() { p { "On the box itself:" } pre { code { (news.command) } } }
                @if news.newer && news.by_itself { (button("/admin/upgrade/fetch", "Fetch it and restart")) }
                (button("/admin/upgrade/look", "Look now"))
            }
            p.hint { "Asked once a day: " code { (if viewer.role.is_owner() { &news.url } else { host_of(&news.url) }) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn shown(role: Role, news: &News) -> String {
        let viewer = Viewer { name: "eve".into(), role, user: None, csrf: "token".into(), notice: None };
        section(&viewer, news).into_string()
    }

    #[test]
    fn only_owners_are_offered_what_is_there() {
        let image = News { version: "2.0<b>".into(), newer: true, by_itself: true, ..News::default() };
        let owner = shown(Role::Owner, &image);
        assert!(owner.contains("2.0&lt;b&gt; is there") && owner.contains("/admin/upgrade/fetch"), "{owner}");
        assert!(!shown(Role::Auditor, &image).contains("<form"));
        let url = "https://feed.example.org/t0ken/list".to_owned();
        let secret = News { error: format!("{url} cannot be read"), url, ..image.clone() };
        let told = shown(Role::Auditor, &secret);
        assert!(told.contains("feed.example.org") && told.contains("failed") && !told.contains("t0ken"), "{told}");
        assert!(shown(Role::Owner, &secret).contains("t0ken"));
        let host = News { command: "apt install ./x && y".into(), by_itself: false, ..image.clone() };
        let host = shown(Role::Owner, &host);
        assert!(host.contains("apt install ./x &amp;&amp; y") && !host.contains("/admin/upgrade/fetch"), "{host}");
        assert!(!shown(Role::Owner, &News { newer: false, ..image.clone() }).contains("/admin/upgrade/fetch"));
        let busy = shown(Role::Owner, &News { doing: "fetching".into(), ..image });
        assert!(busy.contains("being fetched") && !busy.contains("<form"));
    }
}
