//! The policy: the editor with what a check says, who reaches whom and why, and the versions so far.

use super::layout::{Viewer, form, page, post_button, when};
use crate::text as t;
use hearthgate_core::{PolicyVersion, World};
use hearthgate_policy::{Access, Difference, Engine, Explanation};
use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

/// Devices up to which the table of who reaches whom is drawn.
pub const MATRIX_MAX: usize = 24;
/// Lines of a list of differences that are shown.
const SHOWN_MAX: usize = 200;
/// Context lines around a change.
const CONTEXT: usize = 2;

/// What is typed in when there is no policy yet.
pub const EXAMPLE: &str = "{\n  // Every device may reach every other one. Narrow it when you like.\n  \"grants\": [\n    {\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]},\n  ],\n\n  // Checked before every change: one that breaks them is not taken.\n  \"tests\": [],\n}\n";

/// What a check of a draft found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Why it would be refused.
    pub problem: Option<String>,
    /// What it gives and takes; `None` when that was too much to work out.
    pub change: Option<Difference>,
    /// Number of its own tests.
    pub tests: usize,
}

/// A question about who reaches what, and its answer.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Source as typed.
    pub from: String,
    /// Destination as typed.
    pub to: String,
    /// The answer, or why there is none.
    pub answer: Option<Result<Vec<Explanation>, String>>,
}

/// The editor. `draft` is what was typed and not taken (yet), with what a check says of it.
#[must_use]
pub fn policy(viewer: &Viewer, world: &World, draft: Option<(&str, &Checked)>) -> String {
    let version = world.policy_version();
    let in_force = version.map_or("", |v| v.text.as_str());
    let editable = viewer.role.changes_all() && !world.settings().policy_from_file;
    let shown = draft.map(|d| d.0).or(version.map(|v| v.text.as_str())).unwrap_or(EXAMPLE);
    page(
        Some(viewer),
        "policy",
        "Policy",
        false,
        html! {
            (tabs("policy"))
            @if let Some(v) = version {
                p.hint { "Version " (v.version) ", since " (when(Some(v.time), "")) ", by " (v.author) }
            } @else { p { (t::POLICY_NONE) } }
            @if world.settings().policy_from_file { p.hint { (super::prose(t::POLICY_FILE)) } }
            @if editable {
                (form(viewer, "/admin/policy", html! {
                    label for="policy" { "Policy (HuJSON)" }
                    textarea #policy name="policy" spellcheck="false" autocapitalize="none" data-check="check" aria-describedby="checked" { "\n" (shown) }
                    input type="hidden" name="version" value=(version.map_or(0, |v| v.version));
                    div #checked aria-live="polite" { @if let Some((text, checked)) = draft { (said(in_force, text, checked)) } }
                    div.row { button name="do" value="save" { "Save" } button.quiet name="do" value="check" { "Check only" } }
                }))
            } @else if version.is_some() {
                pre tabindex="0" { (shown) }
            }
        },
    )
}

fn tabs(here: &str) -> Markup {
    html! {
        nav.tabs aria-label="Policy" {
            ul {
                @for (path, label) in t::POLICY_TABS {
                    li { a href={ "/admin/" (path) } aria-current=[(path == here).then_some("page")] { (label) } }
                }
            }
        }
    }
}

/// What a check says, and what would change.
fn said(old: &str, new: &str, checked: &Checked) -> Markup {
    html! {
        @if let Some(problem) = &checked.problem {
            p.note.bad #problem role="alert" { strong.bad { (t::POLICY_REFUSED) " " } span.lines { (problem) } }
        } @else {
            p.note #fine { strong.good { (t::POLICY_FINE) } " " (t::count(checked.tests, "test")) " of its own passed." }
            @match &checked.change {
                None => p.hint { (t::POLICY_DIFF_LARGE) },
                Some(c) if c.gained.is_empty() && c.lost.is_empty() => p.hint { (t::POLICY_DIFF_NONE) },
                Some(c) => { (accesses("Newly allowed", "good", &c.gained)) (accesses("No longer allowed", "bad", &c.lost)) },
            }
        }
        @if old != new { details { summary { "Changed lines" } (lines(old, new)) } }
    }
}

fn accesses(title: &str, class: &str, all: &[Access]) -> Markup {
    html! {
        @if !all.is_empty() {
            p { strong class=(class) { (title) ":" } }
            ul { @for a in all.iter().take(SHOWN_MAX) { li { (a.from) " → " (a.to) " " code { (a.what) } } }
                @if all.len() > SHOWN_MAX { li { "and " (all.len() - SHOWN_MAX) " more" } } }
        }
    }
}

/// The lines that differ.
fn lines(old: &str, new: &str) -> Markup {
    let diff = TextDiff::from_lines(old, new);
    let groups = diff.grouped_ops(CONTEXT);
    let changes = groups.iter().flatten().flat_map(|op| diff.iter_changes(op)).take(SHOWN_MAX);
    html! {
        pre.diff tabindex="0" {
            @for change in changes {
                @let text = change.value().trim_end_matches('\n');
                @match change.tag() {
                    ChangeTag::Delete => del { "- " (text) "\n" },
                    ChangeTag::Insert => ins { "+ " (text) "\n" },
                    ChangeTag::Equal => { "  " (text) "\n" },
                }
            }
        }
    }
}

/// The versions so far, newest first.
#[must_use]
pub fn history(viewer: &Viewer, world: &World) -> String {
    let versions: Vec<&PolicyVersion> = world.policy_versions().collect();
    let newest = versions.last().map(|v| v.version);
    let editable = viewer.role.changes_all() && !world.settings().policy_from_file;
    page(
        Some(viewer),
        "policy",
        "Versions of the policy",
        false,
        html! {
            (tabs("policy/history"))
            section.card aria-label="Versions" {
                @if versions.is_empty() { p { (t::POLICY_NONE) } }
                ul.list {
                    @for (i, v) in versions.iter().enumerate().rev() {
                        @let before = i.checked_sub(1).and_then(|b| versions.get(b)).map_or("", |b| b.text.as_str());
                        li {
                            p.row { span.grow { span.name { "Version " (v.version) } " " span.soft.small { (when(Some(v.time), "")) " · " (v.author) } }
                                @if Some(v.version) == newest { span.good { "in force" } }
                                @else if editable {
                                    (post_button(viewer, "/admin/policy/rollback", "quiet", "Put in force again", &[("version", &v.version.to_string())]))
                                }
                            }
                            details { summary { "Changed lines of version " (v.version) } (lines(before, &v.text)) }
                        }
                    }
                }
            }
        },
    )
}

/// Who reaches whom, and why.
#[must_use]
pub fn reach(viewer: &Viewer, world: &World, question: &Question) -> String {
    let engine = world.enforced().map(|e| e.engine());
    page(
        Some(viewer),
        "policy",
        "Who can reach what",
        false,
        html! {
            (tabs("policy/reach"))
            @match engine {
                None => p { (t::POLICY_NONE) },
                Some(engine) => {
                    section.card aria-labelledby="why-title" {
                        h2 #why-title { "Why, or why not?" }
                        form method="get" action="/admin/policy/reach" {
                            label for="from" { "From" }
                            input #from name="from" value=(question.from) list="things" autocapitalize="none" spellcheck="false" required;
                            label for="to" { "To" }
                            input #to name="to" value=(question.to) list="things" autocapitalize="none" spellcheck="false" required aria-describedby="to-hint";
                            p.hint #to-hint { (t::POLICY_TO_HINT) }
                            datalist #things { @for m in &engine.tailnet().machines { option value=(m.name) {} } }
                            button { "Ask" }
                        }
                        @if let Some(answer) = &question.answer { div #answer role="status" { (explained(answer)) } }
                    }
                    section.card aria-labelledby="matrix-title" { h2 #matrix-title { "Everybody" } (matrix(engine)) }
                },
            }
        },
    )
}

fn explained(answer: &Result<Vec<Explanation>, String>) -> Markup {
    html! {
        @match answer {
            Err(problem) => p.bad { (problem) },
            Ok(all) => ul.list {
                @for e in all.iter().take(SHOWN_MAX) {
                    li {
                        strong class=(if e.allowed { "good" } else { "bad" }) { (if e.allowed { "Yes: " } else { "No: " }) } (e.from) " → " (e.to)
                        ul {
                            @for r in &e.rules { li { code { (r.origin.section) "[" (r.origin.index) "]" } " allows " code { (r.allows) } } }
                            @for w in &e.why_not { li { (w) } }
                        }
                    }
                }
            },
        }
    }
}

fn matrix(engine: &Engine) -> Markup {
    let machines = &engine.tailnet().machines;
    if machines.len() > MATRIX_MAX {
        return html! { p { (t::POLICY_MATRIX_LARGE) } };
    }
    let cell = |from: usize, to: usize| {
        let mut allows: Vec<String> =
            engine.explain(from, to, None, None).rules.into_iter().map(|r| r.allows).collect();
        hearthgate_sorted::sort(&mut allows);
        allows.dedup();
        if allows.iter().any(|a| a == "*") { "everything".to_owned() } else { allows.join(", ") }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of who reaches whom" {
            table.matrix {
                thead { tr { th scope="col" { "From, to" } @for m in machines { th scope="col" { (m.name) } } } }
                tbody {
                    @for (from, m) in machines.iter().enumerate() {
                        tr {
                            th scope="row" { (m.name) }
                            @for to in 0..machines.len() {
                                @let what = if from == to { "itself".to_owned() } else { cell(from, to) };
                                @if from == to { td.soft { "·" } }
                                @else if what.is_empty() { td.soft { "nothing" } }
                                @else { td.good { (what) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
