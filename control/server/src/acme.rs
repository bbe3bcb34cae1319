//! Certificates from an authority, for the control server: the keeper's task and the page on port 80.

use crate::{AcmeOptions, Options, StartError, state::App};
use hearthgate_acme::{Keeper, serve_http};
use hearthgate_derp::tls::{AlpnChallenges, PemPair};
use hearthgate_fetch::Fetch;
use hearthgate_http::spawn;
use std::{fs, os::unix::fs::DirBuilderExt, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

fn keeper(options: &AcmeOptions) -> Keeper {
    Keeper {
        settings: options.settings.clone(),
        dir: options.dir.clone(),
        fetch: Arc::new(Fetch::new()),
        http: Arc::default(),
        alpn: Arc::default(),
    }
}

/// The certificate that an authority gave us before, if it is for the name that is configured.
pub(crate) fn stored(options: &Options) -> Option<PemPair> {
    options.acme.as_ref().and_then(|acme| keeper(acme).stored())
}

/// Starts to keep it; what is shown changes by itself.
///
/// # Errors
/// The folder cannot be made, or the address of the page is taken.
pub(crate) async fn start(
    app: &App,
    options: &AcmeOptions,
    alpn: &Arc<AlpnChallenges>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let place = options.dir.display().to_string();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.dir);
    made.map_err(StartError::io("making the folder", place))?;
    let keeper = Keeper { http: app.acme.clone(), alpn: alpn.clone(), ..keeper(options) };
    let mut tasks = Vec::new();
    if let Some(listen) = options.listen {
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(StartError::io("listening for HTTP-01 on", listen.to_string()))?;
        tasks.push(spawn(serve_http(listener, app.acme.clone(), options.settings.host.clone())));
    }
    let certificates = app.certificates.clone();
    tasks.push(spawn(keeper.run(move |pair| {
        if let Err(e) = certificates.replace(pair) {
            tracing::error!(error = %e, "the new certificate is of no use");
        }
    })));
    Ok(tasks)
}
