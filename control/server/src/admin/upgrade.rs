//! The form that brings an upgrade.

use super::{
    request::html,
    upload::{Upload, open, refuse},
};
use crate::{reply::Reply, state::App};
use hearthgate_web::page;
use http::{Request, StatusCode};
use hyper::body::Incoming;

/// Receives the form.
pub(super) async fn receive(app: &App, req: Request<Incoming>) -> Reply {
    let Upload { viewer, first, body, .. } = match open(app, req).await {
        Ok(upload) => upload,
        Err(reply) => return *reply,
    };
    match app.image.receive(first, body, None).await {
        Ok(_) => {
            let actor = viewer.name.clone();
            app.control.cast(move |world, c| world.audit(&actor, "sent an upgrade", "", c.now));
            let next = "The file has arrived. The box checks it, and if it is good restarts with it within a minute; \
                        the System page then says how it went.";
            html(StatusCode::OK, page::message(Some(&viewer), "Upgrade", next))
        }
        Err(e) => refuse(&viewer, StatusCode::BAD_REQUEST, &e.to_string()),
    }
}
