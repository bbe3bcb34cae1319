//! hearthgate-core
