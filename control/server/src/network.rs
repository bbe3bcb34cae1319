//! The network's name as given on the setup page. It goes before `dns.base_domain` of the configuration, so that a
//! person without a shell can set it.

use hearthgate_core::{CoreError, Settings, World, names};
use hearthgate_web::reach::host_of;

const KEY: &str = "web/network";
/// What follows the name: reserved for private use by ICANN, resolution 2024.07.29.06.
const SUFFIX: &str = "internal";

/// The name that was given, if any.
pub fn name(world: &World) -> Option<String> {
    world.record(KEY)
}

/// Settings of the configuration, with the name that was given.
pub fn with_name(world: &World, mut settings: Settings) -> Settings {
    if let Some(name) = name(world) {
        settings.base_domain = format!("{name}.{SUFFIX}");
    }
    settings
}

/// Gives the network a name.
///
/// # Errors
/// Not one label, or the server's own name would lie within it.
pub fn rename(world: &mut World, name: &str) -> Result<(), CoreError> {
    if !names::is_label(name) {
        return Err(CoreError::Invalid(format!("{name:?} is not a name for a network: one word of letters, digits and '-'")));
    }
    let domain = format!("{name}.{SUFFIX}");
    let host = host_of(&world.settings().server_url).to_ascii_lowercase();
    if host == domain || host.ends_with(&format!(".{domain}")) {
        return Err(CoreError::Conflict(format!("The name of this box, {host}, lies within {domain}: devices could not find it. Choose another.")));
    }
    world.put_record(KEY, &name)?;
    let settings = with_name(world, Settings::clone(world.settings()));
    world.set_settings(settings);
    Ok(())
}
