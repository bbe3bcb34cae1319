//! The forms about other programs and devices: OAuth clients, webhooks, devices without a client.

use super::{
    action::finish,
    request::{Form, Page, html, look, unavailable},
};
use crate::{
    api_v2::{oauth, scope},
    reply::Reply,
    state::App,
    webhooks,
};
use hearthgate_core::{CoreError, PlainAccess, World};
use hearthgate_keys::Secret;
use hearthgate_web::page::{
    self, Viewer,
    tools::{Hook, Oauth, OauthClient},
};
use http::StatusCode;

/// OAuth clients, as the page shows them.
pub(super) fn clients(world: &World) -> Oauth {
    let shown = |c: oauth::Client| OauthClient {
        id: c.id,
        scopes: c.scopes.0,
        tags: c.tags,
        description: c.description,
        created: c.created,
    };
    Oauth { clients: oauth::clients(world).into_iter().map(shown).collect(), scopes: &scope::SCOPES }
}

/// Webhooks, as the page shows them.
pub(super) fn hooks(app: &App, world: &World) -> Vec<Hook> {
    let shown = |h: webhooks::Hook| {
        let webhooks::Outcome { last, lost, failing } = app.hooks.of(&h.id);
        let last = Some(last).filter(|words| !words.is_empty());
        Hook { id: h.id, url: h.url, events: h.events, created: h.created, last, lost, failing }
    };
    webhooks::hooks(world).into_iter().map(shown).collect()
}

/// Makes or removes an OAuth client.
pub(super) async fn oauth(app: &App, request: &Page, viewer: &Viewer, rest: &[&str]) -> Reply {
    let actor = viewer.name.clone();
    match rest {
        [] => {
            let list = |name: &str| request.form.all(name).map(str::to_owned).collect::<Vec<_>>();
            let tags = request.form.get("tags").split(',').map(str::trim).filter(|t| !t.is_empty());
            let (scopes, tags) = (scope::Scopes(list("scope")), tags.map(str::to_owned).collect());
            let description = request.form.get("description").trim().to_owned();
            let made = app.control.call(move |world, c| {
                let (client, secret) = oauth::create(world, scopes, tags, description, c.now.wall, c.rng)?;
                world.audit(&actor, "made OAuth client", &client.id, c.now);
                Ok(secret)
            });
            match made.await {
                Ok(Ok(secret)) => match look(app).await {
                    Ok((world, now)) => {
                        let shown = page::keys::keys(viewer, &world, Some(secret.reveal()), &clients(&world), now);
                        html(StatusCode::OK, shown)
                    }
                    Err(e) => unavailable(e),
                },
                Ok(Err(e)) => finish(app, request, Err(e), "/admin/keys"),
                Err(e) => unavailable(e),
            }
        }
        [id, "delete"] => {
            let (id, gone) = ((*id).to_owned(), (*id).to_owned());
            let done = app.control.call(move |world, c| {
                if !oauth::delete(world, &id) {
                    return Err(CoreError::NotFound(format!("OAuth client {id}")));
                }
                world.audit(&actor, "removed OAuth client", &id, c.now);
                Ok(())
            });
            match done.await {
                Ok(done) => {
                    // Its tokens end with it.
                    crate::api_v2::tokens(app).end_all_of(&gone);
                    finish(app, request, done, "/admin/keys")
                }
                Err(e) => unavailable(e),
            }
        }
        _ => finish(app, request, Err(CoreError::NotFound("this action".into())), "/admin/keys"),
    }
}

/// What is ticked for a device without a client.
fn access(form: &Form) -> PlainAccess {
    let ticked = |what: &str| form.get(what) == "1";
    PlainAccess { lan: ticked("lan"), internet: ticked("internet"), tailnet: ticked("tailnet") }
}

/// Adds, changes or removes a device without a client.
pub(super) async fn plain(app: &App, request: &Page, viewer: &Viewer, rest: &[&str]) -> Reply {
    const PAGE: &str = "/admin/wireguard";
    let actor = viewer.name.clone();
    match rest {
        [] => {
            let name = request.form.get("name").to_owned();
            let access = access(&request.form);
            let added = app.control.call(move |world, c| {
                let (device, text) = world.add_plain_device(&name, access, c.now, c.rng)?;
                world.audit(&actor, "added device without a client", &device.name, c.now);
                Ok(text)
            });
            match added.await {
                Ok(Ok(text)) => match look(app).await {
                    Ok((world, _)) => html(StatusCode::OK, page::plain::plain(viewer, &world, Some(text.reveal()))),
                    Err(e) => unavailable(e),
                },
                Ok(Err(e)) => finish(app, request, Err(e), PAGE),
                Err(e) => unavailable(e),
            }
        }
        [id, "change"] => {
            let (id, form) = (id.parse().unwrap_or_default(), &request.form);
            let (name, access) = (form.get("name").to_owned(), access(form));
            let changed = app.control.call(move |world, c| {
                let device = world.change_plain_device(id, Some(&name), Some(access))?;
                world.audit(&actor, "changed device without a client", &device.name, c.now);
                Ok(())
            });
            match changed.await {
                Ok(done) => finish(app, request, done, PAGE),
                Err(e) => unavailable(e),
            }
        }
        [id, "remove"] => {
            let id = id.parse().unwrap_or_default();
            let removed = app.control.call(move |world, c| {
                let name = world.remove_plain_device(id)?;
                world.audit(&actor, "removed device without a client", &name, c.now);
                Ok(())
            });
            match removed.await {
                Ok(done) => finish(app, request, done, PAGE),
                Err(e) => unavailable(e),
            }
        }
        _ => finish(app, request, Err(CoreError::NotFound("this action".into())), PAGE),
    }
}

/// The page of events with the secret of a webhook, this one time.
async fn with_secret(app: &App, viewer: &Viewer, secret: &Secret) -> Reply {
    match look(app).await {
        Ok((world, _)) => {
            let all = hooks(app, &world);
            html(StatusCode::OK, page::operation::events(viewer, &world, &all, Some(secret.reveal())))
        }
        Err(e) => unavailable(e),
    }
}

/// Makes, changes, tries or removes a webhook.
pub(super) async fn webhook(app: &App, request: &Page, viewer: &Viewer, rest: &[&str]) -> Reply {
    let actor = viewer.name.clone();
    let done = match rest {
        [] => {
            let provider = serde_json::from_value(request.form.get("provider").into());
            let Ok(provider) = provider else {
                return finish(app, request, Err(CoreError::Invalid("Choose a form.".into())), "/admin/events");
            };
            let new = webhooks::NewHook {
                url: request.form.get("url").trim().to_owned(),
                events: request.form.all("event").map(str::to_owned).collect(),
                local: request.form.get("local") == "1",
                provider,
            };
            let made = app.control.call(move |world, c| {
                let (hook, secret) = webhooks::create(world, new, &actor, c.now.wall, c.rng)?;
                world.audit(&actor, "added webhook", hook.host(), c.now);
                Ok(secret)
            });
            match made.await {
                Ok(Ok(secret)) => return with_secret(app, viewer, &secret).await,
                Ok(Err(e)) => Ok(Err(e)),
                Err(e) => Err(e),
            }
        }
        [id, "rotate"] => {
            let id = (*id).to_owned();
            let made = app.control.call(move |world, c| {
                let (hook, secret) = webhooks::rotate(world, &id, c.now.wall, c.rng)?;
                world.audit(&actor, "made another secret for webhook", hook.host(), c.now);
                Ok(secret)
            });
            match made.await {
                Ok(Ok(secret)) => return with_secret(app, viewer, &secret).await,
                Ok(Err(e)) => Ok(Err(e)),
                Err(e) => Err(e),
            }
        }
        [id, "events"] => {
            let (id, events) = ((*id).to_owned(), request.form.all("event").map(str::to_owned).collect());
            let changed = app.control.call(move |world, c| {
                let hook = webhooks::subscribe(world, &id, events, c.now.wall)?;
                world.audit(&actor, "changed the events of webhook", hook.host(), c.now);
                Ok(())
            });
            changed.await
        }
        [id, "test"] => {
            let queued = app.try_hook.try_send((*id).to_owned());
            Ok(queued.map_err(|_| CoreError::Full("too many tests wait; try again in a moment".into())))
        }
        [id, "delete"] => {
            let id = (*id).to_owned();
            let gone = app.control.call(move |world, c| {
                if !webhooks::delete(world, &id) {
                    return Err(CoreError::NotFound(format!("webhook {id}")));
                }
                world.audit(&actor, "removed webhook", &id, c.now);
                Ok(())
            });
            gone.await
        }
        _ => Ok(Err(CoreError::NotFound("this action".into()))),
    };
    match done {
        Ok(done) => finish(app, request, done, "/admin/events"),
        Err(e) => unavailable(e),
    }
}
