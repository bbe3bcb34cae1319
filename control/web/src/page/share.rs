//! What this box shares with the network, in the steps after claiming: the networks it is in, its way to the Internet.

use super::layout::{Viewer, form, post_button, prose};
use crate::text as t;
use ipnet::IpNet;
use maud::{Markup, html};

/// What this box's own router offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// There is such a router in this process.
    pub running: bool,
    /// Networks that it offers.
    pub routes: Vec<IpNet>,
    /// It offers the Internet.
    pub exit_node: bool,
    /// That was chosen here, and does not stand in the configuration.
    pub chosen: bool,
    /// Networks that this machine is in.
    pub nearby: Vec<IpNet>,
}

/// The step.
pub(super) fn step(viewer: &Viewer, share: &Share) -> Markup {
    let others: Vec<String> =
        share.routes.iter().filter(|net| !share.nearby.contains(net)).map(ToString::to_string).collect();
    html! {
        section.card aria-labelledby="share-title" {
            h2 #share-title { (t::SETUP_SHARE) }
            p.hint { (t::SETUP_SHARE_HINT) }
            @if !share.running {
                p { (prose(t::SETUP_SHARE_OFF)) }
            } @else if viewer.role.changes_all() {
                (form(viewer, "/admin/setup/share", html! {
                    @if !share.nearby.is_empty() {
                        fieldset {
                            legend { (t::SETUP_SHARE_NETWORKS) }
                            @for net in &share.nearby {
                                label.tick {
                                    input type="checkbox" name="route" value=(net) checked[share.routes.contains(net)];
                                    code { (net) }
                                }
                            }
                        }
                    }
                    label for="share-more" { (t::SETUP_SHARE_MORE) }
                    input #share-more name="more" value=(others.join(" ")) maxlength="500" placeholder="192.168.9.0/24"
                        autocapitalize="none" spellcheck="false";
                    label.tick { input type="checkbox" name="exit" value="1" checked[share.exit_node]; (t::SETUP_SHARE_EXIT) }
                    button.quiet { (t::SETUP_SAVE) }
                }))
                @if share.chosen {
                    (post_button(viewer, "/admin/setup/share/configured", "quiet", t::SETUP_SHARE_CONFIGURED, &[]))
                }
            } @else {
                @let internet = share.exit_node.then(|| t::EXIT_NODE.to_owned());
                @let all: Vec<String> = share.routes.iter().map(ToString::to_string).chain(internet).collect();
                p { @if all.is_empty() { (t::SETUP_SHARE_NOTHING) } (all.join(", ")) }
            }
        }
    }
}
