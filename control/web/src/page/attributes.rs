//! What rules with a posture may ask about a device, and the values somebody gives it.

use super::layout::{Viewer, form, post_button, when};
use crate::text as t;
use hearthgate_core::Node;
use maud::{Markup, html};

/// A fold on the page of a device.
pub(super) fn section(viewer: &Viewer, node: &Node) -> Markup {
    let action = format!("/admin/device/{}/attribute", node.id);
    html! {
        section.card aria-labelledby="posture-title" {
            h2 #posture-title { (t::POSTURE) }
            p.hint { (t::POSTURE_HINT) }
            details open[!node.attributes.is_empty()] {
                summary { (t::POSTURE_SHOW) }
                ul.list {
                    @for (name, value) in node.posture() {
                        @let given = node.attributes.get(&name);
                        li.row {
                            span.grow {
                                code { (name) " = " (value) }
                                @if let Some(end) = given.and_then(|a| a.expiry) { span.soft.small { " until " (when(Some(end), "")) } }
                            }
                            @if given.is_some() {
                                (post_button(viewer, &action, "quiet", t::POSTURE_REMOVE, &[("name", &name), ("how", "remove")]))
                            }
                        }
                    }
                }
                (form(viewer, &action, html! {
                    label for="attribute-name" { "Name" }
                    input #attribute-name name="name" value="custom:" required maxlength="50" autocapitalize="none" spellcheck="false";
                    label for="attribute-value" { "Value" }
                    input #attribute-value name="value" required maxlength="52" autocapitalize="none" spellcheck="false";
                    label for="attribute-days" { (t::POSTURE_DAYS) }
                    input #attribute-days name="days" type="number" min="1" max="3650";
                    button { "Save" }
                }))
            }
        }
    }
}
