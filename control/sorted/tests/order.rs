//! The same order as the standard library's sort makes.

use hearthgate_sorted::{sort, sort_by, sort_by_key};
use proptest::prelude::*;

proptest! {
    #[test]
    fn as_the_standard_library_does(all in prop::collection::vec((0_u8..20, any::<u16>()), 0..200)) {
        let (mut ours, mut theirs) = (all.clone(), all.clone());
        sort(&mut ours);
        theirs.sort();
        prop_assert_eq!(&ours, &theirs);
        // Equal keys: the order that they had.
        let (mut ours, mut theirs) = (all.clone(), all.clone());
        sort_by_key(&mut ours, |e| e.0);
        theirs.sort_by_key(|e| e.0);
        prop_assert_eq!(&ours, &theirs);
        let (mut ours, mut theirs) = (all.clone(), all);
        sort_by(&mut ours, |a, b| b.0.cmp(&a.0));
        theirs.sort_by(|a, b| b.0.cmp(&a.0));
        prop_assert_eq!(&ours, &theirs);
    }
}
