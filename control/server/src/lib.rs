//! hearthgate-server
