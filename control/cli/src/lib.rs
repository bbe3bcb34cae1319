//! hearthgate-cli
