//! Names of pods in the format of the document: `dppctl-worker-rokfi84898243`.

use uuid::Uuid;

/// Prefix of a worker's name.
const WORKER: &str = "dppctl-worker-";
/// Number of letters and digits after it: 67 bits, of 74 random ones.
const LENGTH: usize = 13;
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Random bits of a UUID of version 7, without time, version and variant.
const HIGH: u128 = 0xfff << 64;
const LOW: u128 = (1 << 62) - 1;

/// Generates a unique name of a worker.
pub(super) fn of_worker() -> String {
    let id = Uuid::now_v7().as_u128();
    let mut random = ((id & HIGH) >> 2) | (id & LOW);
    let mut name = WORKER.to_owned();
    for _ in 0..LENGTH {
        let position = usize::try_from(random % 36).unwrap_or_default();
        name.push(char::from(LETTERS.get(position).copied().unwrap_or(b'0')));
        random /= 36;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_have_documented_form_and_are_unique() {
        let names: BTreeSet<String> = (0..1000).map(|_| of_worker()).collect();
        assert_eq!(names.len(), 1000);
        for name in names {
            let rest = name.strip_prefix("dppctl-worker-").unwrap();
            assert!(rest.len() == 13 && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
        }
    }
}
