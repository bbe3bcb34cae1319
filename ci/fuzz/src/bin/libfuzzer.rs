//! One program for all targets, driven by libFuzzer; `HEARTHGATE_FUZZ_TARGET` says which. Use `ci/fuzz/run`.

#![no_main]
// The entry point that libFuzzer calls is an exported C function: the macro writes it.
#![allow(unsafe_code)]

use hearthgate_fuzz::{Target, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("HEARTHGATE_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("HEARTHGATE_FUZZ_TARGET={name:?} is no target"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
