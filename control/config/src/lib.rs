//! hearthgate-config
