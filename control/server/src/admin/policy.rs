//! The policy editor's forms and questions.

use super::{
    action::finish,
    request::{Page, html, look, unavailable},
};
use crate::{api_policy, api_v1, reply::Reply, state::App};
use bytes::Bytes;
use hearthgate_core::{CoreError, World};
use hearthgate_policy::Policy;
use hearthgate_read::json;
use hearthgate_web::{
    page::{
        self, Viewer,
        policy::{Checked, Question},
    },
    text as t,
};
use http::{Method, StatusCode};

/// What would happen with this text.
fn check(world: &World, text: &str) -> Checked {
    match world.check_policy(text) {
        Err(problem) => Checked { problem: Some(problem.to_string()), ..Checked::default() },
        Ok(enforced) => {
            let report = enforced.engine().run_tests();
            let old = world.policy_version().map_or(page::policy::EXAMPLE, |v| v.text.as_str());
            // A version that was accepted once may not be any more: then there is nothing to compare with.
            let change = Policy::parse(old).ok().and_then(|_| api_policy::difference_to(world, old, text).ok());
            Checked { problem: None, change, tests: report.tests.len() + report.ssh_tests.len() }
        }
    }
}

/// Checks or saves what was typed.
pub(super) async fn edit(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    // Browsers send line ends as CR LF (WHATWG HTML, form submission).
    let text = request.form.get("policy").replace("\r\n", "\n");
    let (world, _) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    let checked = check(&world, &text);
    if request.form.get("do") != "save" {
        return html(StatusCode::OK, page::policy::policy(viewer, &world, Some((&text, &checked))));
    }
    if checked.problem.is_some() {
        return html(StatusCode::UNPROCESSABLE_ENTITY, page::policy::policy(viewer, &world, Some((&text, &checked))));
    }
    let (seen, actor) = (request.form.get("version").to_owned(), viewer.name.clone());
    let done = app.control.call(move |world, c| {
        if world.policy_version().map_or(0, |v| v.version).to_string() != seen {
            return Err(CoreError::Conflict(t::POLICY_STALE.into()));
        }
        let body = Bytes::from(json!({ "policy": text }).to_string());
        let put = api_v1::perform(world, c, &actor, &Method::PUT, &["policy".to_owned()], &Vec::new(), &body);
        put.unwrap_or_else(|| Err(CoreError::NotFound("this action".into()))).map(|_| ())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/policy"),
        Err(e) => unavailable(e),
    }
}

/// The answer to "who can reach what", with the question.
pub(super) fn question(world: &World, request: &Page) -> Question {
    let (from, to) = (request.query.get("from").trim().to_owned(), request.query.get("to").trim().to_owned());
    let asked = !from.is_empty() && !to.is_empty();
    let answer = asked.then(|| api_policy::explanations(world, &from, &to).map_err(|e| e.to_string()));
    Question { from, to, answer }
}
