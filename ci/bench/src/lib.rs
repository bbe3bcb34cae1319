//! hearthgate-bench
