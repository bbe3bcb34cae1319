//! hearthgate-store
