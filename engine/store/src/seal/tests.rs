use super::*;
use proptest::prelude::*;
use terrace_language::address::{Address, ComponentKey, StackId};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "//////////////////////////////////////////8=";
const HERE: Place<'static> = Place::Plan { id: Uuid::nil() };

fn seal(seal: &Seal, clear: &[u8]) -> Result<String, WireError> {
    seal.at(HERE).seal(&Spot::Root, clear)
}

fn open(seal: &Seal, sealed: &str) -> Result<Vec<u8>, WireError> {
    seal.at(HERE).open(&Spot::Root, sealed)
}

/// Seals like an older terrace.
fn unbound(seal: &Seal, clear: &[u8]) -> String {
    let key = seal.current.as_ref().unwrap();
    let sealed = key.cipher.encrypt(&XNonce::from([7; 24]), Payload { msg: clear, aad: UNBOUND }).unwrap();
    format!("{}:{}", key.id, BASE64.encode([[7; 24].as_slice(), &sealed].concat()))
}

#[test]
fn sealed_text_opens_only_with_its_key() {
    let one = Seal::with_key(KEY, &[]).unwrap();
    let sealed = seal(&one, b"hunter2").unwrap();
    assert_eq!(open(&one, &sealed).unwrap(), b"hunter2");
    assert_ne!(sealed, seal(&one, b"hunter2").unwrap(), "the nonce differs each time");
    assert!(open(&Seal::with_key(OTHER, &[]).unwrap(), &sealed).is_err());
    assert_eq!(open(&Seal::with_key(OTHER, &[KEY]).unwrap(), &sealed).unwrap(), b"hunter2");
}

#[test]
fn damaged_text_is_an_error() {
    let one = Seal::with_key(KEY, &[]).unwrap();
    let sealed = seal(&one, b"hunter2").unwrap();
    let mut damaged = sealed.clone();
    damaged.replace_range(sealed.len() - 4..sealed.len() - 3, "_");
    let as_unbound = sealed.replace(":v2:", ":");
    for text in [damaged.as_str(), "", "x", "00000000:", &sealed[..20], &as_unbound] {
        assert!(open(&one, text).is_err(), "{text}");
    }
}

#[test]
fn seal_without_a_key_refuses_values_unless_allowed() {
    assert!(matches!(seal(&Seal::without_key(false), b"x"), Err(WireError::NoKey)));
    let plain = Seal::without_key(true);
    assert_eq!(open(&plain, &seal(&plain, b"x").unwrap()).unwrap(), b"x");
}

#[test]
fn value_stored_in_the_clear_can_be_stored_again() {
    let stored = seal(&Seal::without_key(true), b"x").unwrap();
    let without = Seal::without_key(false);
    open(&without, &stored).unwrap();
    assert_eq!(seal(&without, b"x").unwrap(), stored);
    assert!(matches!(seal(&without, b"y"), Err(WireError::NoKey)));
}

#[test]
fn value_in_the_clear_is_refused_under_a_key_unless_accepted() {
    let stored = seal(&Seal::without_key(true), b"x").unwrap();
    let keyed = || Seal::with_key(KEY, &[]).unwrap();
    assert!(matches!(open(&keyed(), &stored), Err(WireError::InClear(_))));
    let accepting = keyed().accepting_clear(true);
    assert_eq!(open(&accepting, &stored).unwrap(), b"x");
    assert!(!seal(&accepting, b"x").unwrap().starts_with(PLAIN), "it is sealed when it is written again");
}

#[test]
fn unbound_text_opens_unless_bound_texts_are_required() {
    let keyed = || Seal::with_key(KEY, &[]).unwrap();
    let older = unbound(&keyed(), b"x");
    assert_eq!(open(&keyed(), &older).unwrap(), b"x");
    assert!(matches!(open(&keyed().requiring_bound(true), &older), Err(WireError::Unbound(_))));
    // A bound text is not valid as an unbound one, nor the other way round.
    assert!(open(&keyed(), &older.replacen(':', ":v2:", 1)).is_err());
    let bound = seal(&keyed(), b"x").unwrap();
    assert_eq!(open(&keyed().requiring_bound(true), &bound).unwrap(), b"x");
}

#[test]
fn error_names_the_place() {
    let keyed = Seal::with_key(KEY, &[]).unwrap();
    keyed.bind(Uuid::nil());
    let (stack, address) = (StackId::new("demo", "local"), "local_file.a".parse::<Address>().unwrap());
    let row = Place::Row { stack: &stack, address: &address, schema_version: 1, part: RowPart::Attributes };
    let sealed = seal(&keyed, b"x").unwrap();
    let error = keyed.at(row).open(&Spot::Key(&Spot::Root, "password"), &sealed).unwrap_err().to_string();
    assert!(error.contains("`/password` of the attributes of demo@local:local_file.a"), "{error}");
}

#[test]
fn key_must_be_32_bytes_in_base64() {
    assert!(Seal::with_key("", &[]).is_err());
    assert!(Seal::with_key("not base64!", &[]).is_err());
    assert!(Seal::with_key("AAAA", &[]).is_err());
}

/// The parts of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    kind: u8,
    store: u8,
    stack: String,
    address: String,
    version: u32,
    path: Vec<String>,
}

impl Owned {
    /// Calls a function with the place and the spot.
    fn with<T>(&self, seal: &Seal, use_: impl FnOnce(Placed<'_>, &Spot<'_>) -> T) -> T {
        let stack = StackId::new(&self.stack, "local");
        let address: Address = format!("local_file.{}", self.address).parse().unwrap();
        let component = ComponentKey::from(self.address.as_str());
        let owner = crate::Ownership { address: address.clone(), stack: stack.clone(), component: component.clone() };
        let row = |part| Place::Row { stack: &stack, address: &address, schema_version: self.version, part };
        let place = match self.kind {
            0 => row(RowPart::Identity),
            1 => row(RowPart::Attributes),
            2 => row(RowPart::Private),
            3 => Place::Outputs { stack: &stack, component: &component },
            _ => Place::Declaration { owner: &owner },
        };
        let placed = seal.at_store(Uuid::from_u128(u128::from(self.store)), place);
        with_spot(&self.path, &Spot::Root, |spot| use_(placed, spot))
    }

    /// Resets the parts that places of its kind do not have.
    fn normalized(mut self) -> Self {
        if self.kind > 2 {
            self.version = 0;
        }
        self
    }
}

fn with_spot<T>(path: &[String], spot: &Spot<'_>, use_: impl FnOnce(&Spot<'_>) -> T) -> T {
    // Boxed, because recursion over a generic type would not terminate.
    fn boxed<'f, T>(path: &[String], spot: &Spot<'_>, use_: Box<dyn FnOnce(&Spot<'_>) -> T + 'f>) -> T {
        match path.split_first() {
            None => use_(spot),
            Some((first, rest)) => boxed(rest, &Spot::Key(spot, first), use_),
        }
    }
    boxed(path, spot, Box::new(use_))
}

fn place() -> impl Strategy<Value = Owned> {
    let path = proptest::collection::vec("[ab/~]{0,2}", 0..3);
    (0..5_u8, 0..2_u8, "[ab]{1,2}", "[ab]{1,2}", 0..2_u32, path).prop_map(
        |(kind, store, stack, address, version, path)| {
            Owned { kind, store, stack, address, version, path }.normalized()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sealed_text_opens_only_at_its_place(one in place(), other in place(), clear: Vec<u8>) {
        let keyed = Seal::with_key(KEY, &[]).unwrap();
        let sealed = one.with(&keyed, |placed, spot| placed.seal(spot, &clear)).unwrap();
        prop_assert_eq!(one.with(&keyed, |placed, spot| placed.open(spot, &sealed)).unwrap(), clear);
        let elsewhere = other.with(&keyed, |placed, spot| placed.open(spot, &sealed));
        prop_assert_eq!(elsewhere.is_ok(), one == other);
    }
}
