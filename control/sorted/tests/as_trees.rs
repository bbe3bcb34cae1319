//! Whatever is done to a map or set, it holds what the standard library's tree would hold.

use hearthgate_sorted::{Entry, SortedMap, SortedSet};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u16),
    Remove(u8),
    Add(u8),
    TakeOut(u8),
    PopFirst,
    PopLast,
    Extend(Vec<(u8, u16)>),
    KeepOdd,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<u8>(), any::<u16>()).prop_map(|(k, v)| Step::Insert(k % 32, v)),
        3 => any::<u8>().prop_map(|k| Step::Remove(k % 32)),
        2 => any::<u8>().prop_map(|k| Step::Add(k % 32)),
        1 => any::<u8>().prop_map(|k| Step::TakeOut(k % 32)),
        1 => Just(Step::PopFirst),
        1 => Just(Step::PopLast),
        1 => vec((0u8..32, any::<u16>()), 0..6).prop_map(Step::Extend),
        1 => Just(Step::KeepOdd),
    ];
    vec(step, 0..60)
}

proptest! {
    #[test]
    fn a_map_is_as_a_tree(start in vec((0u8..32, any::<u16>()), 0..20), steps in steps(), from in 0u8..40, to in 0u8..40) {
        let mut ours: SortedMap<u8, u16> = start.iter().copied().collect();
        let mut tree: BTreeMap<u8, u16> = start.into_iter().collect();
        for step in steps {
            match step {
                Step::Insert(k, v) => prop_assert_eq!(ours.insert(k, v), tree.insert(k, v)),
                Step::Remove(k) => prop_assert_eq!(ours.remove(&k), tree.remove(&k)),
                Step::Add(k) => {
                    *ours.entry(k).or_default() ^= 1;
                    *tree.entry(k).or_default() ^= 1;
                }
                Step::TakeOut(k) => {
                    let taken = match ours.entry(k) {
                        Entry::Occupied(there) => Some(there.remove()),
                        Entry::Vacant(_) => None,
                    };
                    prop_assert_eq!(taken, tree.remove(&k));
                }
                Step::PopFirst => prop_assert_eq!(ours.pop_first(), tree.pop_first()),
                Step::PopLast => prop_assert_eq!(ours.pop_last(), tree.pop_last()),
                Step::Extend(more) => {
                    ours.extend(more.clone());
                    tree.extend(more);
                }
                Step::KeepOdd => {
                    ours.retain(|k, _| k % 2 == 1);
                    tree.retain(|k, _| k % 2 == 1);
                }
            }
            prop_assert!(ours.iter().eq(tree.iter()));
        }
        prop_assert!(ours.range(from..).eq(tree.range(from..)));
        prop_assert!(ours.range(..=to).eq(tree.range(..=to)));
        if from < to {
            prop_assert!(ours.range(from..to).eq(tree.range(from..to)));
        }
        prop_assert_eq!(ours.get(&from), tree.get(&from));
        prop_assert_eq!(ours.first_key_value(), tree.first_key_value());
        prop_assert_eq!(ours.last_key_value(), tree.last_key_value());
        let text = serde_json::to_string(&ours).unwrap();
        prop_assert_eq!(&text, &serde_json::to_string(&tree).unwrap());
        prop_assert_eq!(serde_json::from_str::<SortedMap<u8, u16>>(&text).unwrap(), ours);
    }

    #[test]
    fn a_set_is_as_a_tree(a in vec(0u8..32, 0..20), b in vec(0u8..32, 0..20), steps in steps()) {
        let (mut ours, mut tree): (SortedSet<u8>, BTreeSet<u8>) = (a.iter().copied().collect(), a.into_iter().collect());
        let (other, others): (SortedSet<u8>, BTreeSet<u8>) = (b.iter().copied().collect(), b.into_iter().collect());
        for step in steps {
            match step {
                Step::Insert(k, _) | Step::Add(k) => prop_assert_eq!(ours.insert(k), tree.insert(k)),
                Step::Remove(k) => prop_assert_eq!(ours.remove(&k), tree.remove(&k)),
                Step::TakeOut(k) => prop_assert_eq!(ours.take(&k), tree.take(&k)),
                Step::PopFirst => prop_assert_eq!(ours.pop_first(), tree.pop_first()),
                Step::PopLast => prop_assert_eq!(ours.pop_last(), tree.pop_last()),
                Step::Extend(more) => {
                    ours.extend(more.iter().map(|(k, _)| k));
                    tree.extend(more.iter().map(|(k, _)| k));
                }
                Step::KeepOdd => {
                    ours.retain(|k| k % 2 == 1);
                    tree.retain(|k| k % 2 == 1);
                }
            }
            prop_assert!(ours.iter().eq(tree.iter()));
        }
        prop_assert!(ours.difference(&other).eq(tree.difference(&others)));
        prop_assert!(ours.intersection(&other).eq(tree.intersection(&others)));
        prop_assert_eq!(ours.is_subset(&other), tree.is_subset(&others));
        prop_assert_eq!(ours.is_disjoint(&other), tree.is_disjoint(&others));
        let text = serde_json::to_string(&ours).unwrap();
        prop_assert_eq!(&text, &serde_json::to_string(&tree).unwrap());
        prop_assert_eq!(serde_json::from_str::<SortedSet<u8>>(&text).unwrap(), ours);
    }
}

#[test]
fn of_two_values_for_one_key_the_last_counts() {
    let map: SortedMap<String, u8> = serde_json::from_str(r#"{"b":1,"a":2,"b":3}"#).unwrap();
    assert_eq!(map.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2), ("b".to_owned(), 3)]);
}
