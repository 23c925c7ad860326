//! A plan in a file: self-contained JSON with a checksum and an authentication code, sensitive values sealed.
//!
//! The file contains the plan and everything that its apply needs. A template with unknown values is stored once, for all its
//! instances. The checksum detects damage. The authentication code, an HMAC under a key that is derived from the state key, detects
//! forgeries: a reader with a state key verifies it before anything else. Without a state key the file has no code, and a plan is
//! applied only under the digest that the caller expects ([`read_to_apply`]).

mod read;
mod shapes;

use super::{
    After, Change, ComponentPlan, Deferred, Lookup, OutputChange, OwnerChange, Plan, PlannedCheck, RecordedOutputs,
    SharedDeclaration, StackPlan,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use read::Reading;
use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use shapes::{
    AfterJson, ChangeJson, CheckJson, ComponentJson, DeclarationJson, DeferredJson, LookupJson, OutputJson, OwnedJson,
    OwnerJson, PlanJson, PriorJson, RecordedOutputsJson, StackJson, TemplateJson, Text,
};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use terrace_language::digest::{DIGEST_DIGITS, sha256, sha256_of_json};
use terrace_language::expression::Template;
use terrace_provider::value::wire::{Sealing, Spot, WireError, encode, encode_map};
use terrace_provider::{Attributes, Private, Value};
use terrace_store::Ownership;
use terrace_store::record::{Prior, seal_private};
use terrace_store::seal::{CODE_LENGTH, Place, Placed, Seal, Unverified, key_of};
use uuid::Uuid;

/// The version of the file format. The engine refuses other versions.
pub const FORMAT: u32 = 6;
/// The first bytes of a plan file, which no descriptor has.
pub const BEGINNING: &str = "{\"terrace_plan\":";

/// A failure to write or read a plan file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A sensitive value cannot be sealed or decrypted.
    #[error(transparent)]
    Value(#[from] WireError),
    /// The file's content changed.
    #[error("the plan file is damaged: {0}")]
    Damaged(String),
    /// The file has another format.
    #[error("the plan file has format {found}; this terrace reads format {FORMAT}")]
    UnsupportedFormat {
        /// The file's format.
        found: u64,
    },
    /// The file cannot be authenticated: the caller has neither a state key nor an expected digest.
    #[error("the plan file cannot be authenticated: no state key is configured, and no plan digest is given")]
    Unauthenticated,
    /// A state key is configured, and the file was written without one.
    #[error("the plan file has no authentication code, and a state key is configured")]
    NoCode,
    /// The authentication code does not match the content.
    #[error("the plan file is forged or changed: its authentication code does not match")]
    Forged,
    /// The key of its authentication code is not configured.
    #[error("the plan file was authenticated with state key {key}, which is not configured")]
    UnknownKey {
        /// The id of the key.
        key: String,
    },
    /// The plan's digest differs from the expected one.
    #[error("the plan differs from the expected one\n  expected  {expected}\n  actual    {actual}")]
    DigestMismatch {
        /// The digest that the caller expects.
        expected: String,
        /// The digest of the plan in the file.
        actual: String,
    },
}

type Json = serde_json::Value;

/// Writes a plan.
///
/// # Errors
/// If the plan has a sensitive value and no key can seal it.
pub fn write(plan: &Plan, seal: &Seal) -> Result<String, FileError> {
    // The file leaves the store: it contains no plain-text secrets, even if the state does.
    let unsealed = Seal::without_key(false);
    let seal = if seal.can_store_new() { seal } else { &unsealed };
    let body = Writing::new(&seal.at(Place::Plan { id: plan.id }), plan).plan(plan)?;
    // Writes a large plan only once: checksum and code are inserted into reserved space.
    let mut text = head(seal.has_key());
    let begin = text.len();
    serde_json::to_writer(&mut text, &body).map_err(|error| FileError::Damaged(error.to_string()))?;
    finish(text, begin, seal)
}

/// Wraps the JSON of a plan in a file, with its checksum, and with a code if there is a key.
///
/// # Errors
/// If the text cannot be written.
pub fn enclose(body: &str, seal: &Seal) -> Result<String, FileError> {
    let mut text = head(seal.has_key());
    let begin = text.len();
    text.extend_from_slice(body.as_bytes());
    finish(text, begin, seal)
}

/// The text before the checksum.
fn before_checksum() -> String {
    format!("{BEGINNING}{FORMAT},\"checksum\":\"")
}
/// The text between checksum and code.
const BEFORE_CODE: &str = "\",\"mac\":\"";
/// The text before the plan.
const BEFORE_PLAN: &str = "\",\"plan\":";
/// The text after the plan, to the last byte.
const END: &str = "}\n";

/// The file up to the plan, with space for checksum and code.
fn head(has_code: bool) -> Vec<u8> {
    let mut text = before_checksum().into_bytes();
    text.resize(text.len() + DIGEST_DIGITS, b'0');
    if has_code {
        text.extend_from_slice(BEFORE_CODE.as_bytes());
        text.resize(text.len() + CODE_LENGTH, b'0');
    }
    text.extend_from_slice(BEFORE_PLAN.as_bytes());
    text
}

/// Inserts checksum and code of the plan that begins at `begin`, and completes the file.
fn finish(mut text: Vec<u8>, begin: usize, seal: &Seal) -> Result<String, FileError> {
    let body = text.get(begin..).unwrap_or_default();
    let (checksum, code) = (sha256(body), seal.authenticate(&authenticated(body)));
    let place = before_checksum().len();
    text.splice(place..place + DIGEST_DIGITS, checksum.into_bytes());
    if let Some(code) = code {
        let place = place + DIGEST_DIGITS + BEFORE_CODE.len();
        text.splice(place..place + CODE_LENGTH, code.into_bytes());
    }
    text.extend_from_slice(END.as_bytes());
    String::from_utf8(text).map_err(|error| FileError::Damaged(error.to_string()))
}

/// The input of the code. It includes the format, so that a plan is valid in its own format only.
fn authenticated(body: &[u8]) -> [&[u8]; 2] {
    const { assert!(FORMAT == 6, "the purpose names the format") };
    [b"terrace plan file, format 6\0", body]
}

/// Reads a plan to show it. With a state key the file has to be authentic.
///
/// # Errors
/// If the file is damaged, forged or of another format, or holds values that cannot be decrypted.
pub fn read(text: &str, seal: &Seal) -> Result<Plan, FileError> {
    let body = verified(text, seal)?;
    let json: PlanJson<'_> = serde_json::from_str(body).map_err(|error| FileError::Damaged(error.to_string()))?;
    Reading::plan(json, seal)
}

/// Reads a plan to apply it. Without a state key the caller provides the plan's digest from a trusted source.
///
/// # Errors
/// As [`read`]. Without a state key also if the caller expects no digest, or a different one.
pub fn read_to_apply(text: &str, seal: &Seal, expected: Option<&str>) -> Result<Plan, FileError> {
    if seal.has_key() {
        return read(text, seal);
    }
    let Some(expected) = expected else {
        verified(text, seal)?;
        return Err(FileError::Unauthenticated);
    };
    let plan = read(text, seal)?;
    // The digest covers plain-text values.
    let actual = digest(&plan, &Seal::without_key(true))?;
    if actual != expected {
        return Err(FileError::DigestMismatch { expected: expected.to_owned(), actual });
    }
    Ok(plan)
}

/// The JSON of a plan file after the check of checksum and code. Together they cover every byte of the file.
fn verified<'t>(text: &'t str, seal: &Seal) -> Result<&'t str, FileError> {
    let damaged = |problem: &str| FileError::Damaged(problem.to_owned());
    let rest = text.strip_prefix(BEGINNING).ok_or_else(|| damaged("it does not begin like a plan"))?;
    let (format, _) = rest.split_once(',').ok_or_else(|| damaged("it is truncated"))?;
    let format: u64 = format.parse().map_err(|_| damaged("its format is not a number"))?;
    if format != u64::from(FORMAT) {
        return Err(FileError::UnsupportedFormat { found: format });
    }
    let rest = text.strip_prefix(&before_checksum()).ok_or_else(|| damaged("it has no checksum"))?;
    let (head, rest) = rest.split_once(BEFORE_PLAN).ok_or_else(|| damaged("it has no plan"))?;
    let (checksum, code) = match head.split_once(BEFORE_CODE) {
        Some((checksum, code)) => (checksum, Some(code)),
        None => (head, None),
    };
    let body = rest.strip_suffix(END);
    if let Some(body) = body.filter(|_| seal.has_key()) {
        let code = code.ok_or(FileError::NoCode)?;
        match seal.verify(&authenticated(body.as_bytes()), code) {
            Ok(()) => {}
            Err(Unverified::UnknownKey(key)) => return Err(FileError::UnknownKey { key }),
            // A forger computes the checksum of the changed plan; an accident does not.
            Err(Unverified::Mismatch) if sha256(body) == checksum => return Err(FileError::Forged),
            Err(Unverified::Mismatch) => return Err(damaged(fault(rest))),
        }
    }
    let body = body.filter(|body| sha256(body) == checksum).ok_or_else(|| damaged(fault(rest)))?;
    match code.filter(|_| !seal.has_key()) {
        Some(code) => Err(FileError::UnknownKey { key: key_of(code).ok_or(FileError::Forged)?.to_owned() }),
        None => Ok(body),
    }
}

/// The fault in the text after the checksum: the plan and the closing bracket.
fn fault(rest: &str) -> &'static str {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    let first = values.next();
    let after = rest.get(values.byte_offset()..).unwrap_or_default();
    match (first, after.strip_prefix('}')) {
        (Some(Err(error)), _) if error.is_eof() => "it is truncated",
        (None | Some(Ok(_)), None) if after.is_empty() => "it is truncated",
        (Some(Ok(_)), Some("")) => "it is truncated",
        (Some(Ok(_)), Some("\n")) => "its checksum does not match",
        (Some(Ok(_)), _) => "there is text after its end",
        _ => "it is not valid JSON",
    }
}

/// The digest of a plan's effect: two plans with the same digest have the same effect. It excludes the plan's id and time, the
/// store's URL, and the store's id, which is created with the first record. Sensitive values count by keyed digests. Without a key
/// they count only if they may be stored in plain text.
///
/// # Errors
/// As [`write`].
pub fn digest(plan: &Plan, seal: &Seal) -> Result<String, FileError> {
    // Sealing draws a new nonce each time, so the digest covers keyed digests of sensitive values.
    let stable = Writing::new(&Fingerprint(seal), plan).plan(plan)?;
    let (id, state, timestamp) = (Uuid::nil(), Uuid::nil(), Timestamp::UNIX_EPOCH);
    let timeless = PlanJson { id, state, state_url: String::new(), timestamp, ..stable };
    sha256_of_json(&timeless).map_err(|error| FileError::Damaged(error.to_string()))
}

/// True if a plan has that digest, under the current key or an older key that is configured.
///
/// # Errors
/// As [`write`].
pub fn has_digest(plan: &Plan, seal: &Seal, expected: &str) -> Result<bool, FileError> {
    if digest(plan, seal)? == expected {
        return Ok(true);
    }
    for older in seal.older() {
        if digest(plan, &older)? == expected {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Replaces sealing with a digest, so that equal values give equal texts.
struct Fingerprint<'a>(&'a Seal);

impl Sealing for Fingerprint<'_> {
    fn seal(&self, _spot: &Spot<'_>, clear: &[u8]) -> Result<String, WireError> {
        let in_clear = || if self.0.can_store_new() { sha256(clear) } else { String::new() };
        Ok(self.0.change_detector(clear).unwrap_or_else(in_clear))
    }

    fn open(&self, _spot: &Spot<'_>, _sealed: &str) -> Result<Vec<u8>, WireError> {
        Err(WireError::CannotOpen("a fingerprint cannot be opened".to_owned()))
    }
}

struct Writing<'a> {
    seal: &'a dyn SealPlan,
    templates: Vec<TemplateJson>,
    /// Positions of templates, by address in memory.
    known: HashMap<*const Template, usize>,
    /// The templates with any sensitive result.
    secret: HashSet<*const Template>,
}

/// The functions of a seal that writing a plan needs: values and providers' private data.
trait SealPlan: Sealing {
    fn private(&self, private: &Private) -> Result<String, WireError>;
    fn values(&self) -> &dyn Sealing;
}

impl SealPlan for Placed<'_> {
    fn private(&self, private: &Private) -> Result<String, WireError> {
        Ok(BASE64.encode(seal_private(private, self)?))
    }

    fn values(&self) -> &dyn Sealing {
        self
    }
}

impl SealPlan for Fingerprint<'_> {
    fn private(&self, private: &Private) -> Result<String, WireError> {
        Ok(self.0.change_detector(&private.0).unwrap_or_else(|| sha256(&private.0)))
    }

    fn values(&self) -> &dyn Sealing {
        self
    }
}

/// The only key of a JSON object that is sealed as a whole.
const SEALED: &str = "$sealed";

fn is_any_sensitive(attributes: &Attributes) -> bool {
    attributes.values().any(Value::has_sensitive)
}

fn text(value: &impl Serialize) -> Result<Text, WireError> {
    to_raw_value(value).map_err(|error| WireError::Damaged(error.to_string()))
}

/// The templates with a sensitive result.
fn secret_templates(plan: &Plan) -> HashSet<*const Template> {
    let mut secret = HashSet::new();
    let mut add = |deferred: Option<&Deferred>, is_secret: bool| {
        secret.extend(deferred.filter(|_| is_secret).map(|deferred| Arc::as_ptr(&deferred.template)));
    };
    for stack in &plan.stacks {
        for after in stack.changes.iter().filter_map(|change| change.after.as_ref()) {
            add(after.deferred.as_ref(), is_any_sensitive(&after.attributes) || !after.write_only.is_empty());
        }
        for declaration in stack.owners.iter().filter_map(|owner| owner.declaration.as_ref()) {
            let is_secret = is_any_sensitive(&declaration.config) || !declaration.write_only.is_empty();
            add(declaration.deferred.as_ref(), is_secret);
        }
        for lookup in &stack.lookups {
            add(lookup.deferred.as_ref(), is_any_sensitive(&lookup.arguments));
        }
        for output in &stack.outputs {
            add(output.deferred.as_ref(), output.after.as_ref().is_some_and(Value::has_sensitive));
        }
    }
    secret
}

impl<'a> Writing<'a> {
    fn new(seal: &'a dyn SealPlan, plan: &Plan) -> Self {
        Self { seal, templates: Vec::new(), known: HashMap::new(), secret: secret_templates(plan) }
    }

    fn plan<'p>(mut self, plan: &'p Plan) -> Result<PlanJson<'p>, WireError> {
        let stacks = plan.stacks.iter().map(|stack| self.stack(stack)).collect::<Result<_, _>>()?;
        Ok(PlanJson {
            id: plan.id,
            timestamp: plan.timestamp,
            terrace_version: plan.terrace_version.clone(),
            state: plan.state,
            state_url: plan.state_url.clone(),
            environment: plan.environment.clone(),
            environment_note: plan.environment_note.clone(),
            mode: plan.mode,
            is_complete: plan.is_complete,
            is_errored: plan.is_errored,
            origin: plan.origin.clone(),
            templates: self.templates,
            stacks,
            reads: Cow::Borrowed(&plan.reads),
            notes: plan.notes.clone(),
        })
    }

    fn stack(&mut self, stack: &StackPlan) -> Result<StackJson, WireError> {
        let component = |component: &ComponentPlan| {
            Ok(ComponentJson {
                key: component.key.clone(),
                id: component.id.clone(),
                ids: component.ids.clone(),
                depends_on: component.depends_on.clone(),
                depended_on: component.depended_on.clone(),
                reads: component.reads.clone(),
                recorded_reads: component.recorded_reads.clone(),
                shared: component.shared.clone(),
                blueprint: component.blueprint.clone(),
                place: component.place.clone(),
                access: component.access.clone(),
                recorded_access: component.recorded_access.clone(),
                grants: component.grants.clone(),
                part: component.part,
                is_deferred: component.is_deferred,
                recorded_outputs: encode_map(&component.recorded_outputs, self.seal.values())?,
            })
        };
        Ok(StackJson {
            stack: stack.stack.clone(),
            components: stack.components.iter().map(component).collect::<Result<_, WireError>>()?,
            changes: stack.changes.iter().map(|change| text(&self.change(change)?)).collect::<Result<_, _>>()?,
            outputs: stack.outputs.iter().map(|output| self.output(output)).collect::<Result<_, _>>()?,
            deferred: stack.deferred.clone(),
            checks: stack.checks.iter().map(|check| self.check(check)).collect::<Result<_, _>>()?,
            lookups: stack.lookups.iter().map(|lookup| self.lookup(lookup)).collect::<Result<_, _>>()?,
            needs: stack.needs.clone(),
            output_reads: stack.output_reads.clone(),
            others: stack
                .recorded_outputs
                .iter()
                .map(|other| self.recorded_outputs(other))
                .collect::<Result<_, _>>()?,
            owners: stack.owners.iter().map(|owner| self.owner(owner)).collect::<Result<_, _>>()?,
            owned: stack.owned.iter().cloned().map(OwnedJson::from).collect(),
        })
    }

    fn recorded_outputs(&self, other: &RecordedOutputs) -> Result<RecordedOutputsJson, WireError> {
        let (stack, component) = (other.stack.clone(), other.component.clone());
        Ok(RecordedOutputsJson { stack, component, outputs: encode_map(&other.outputs, self.seal.values())? })
    }

    fn lookup(&mut self, lookup: &Lookup) -> Result<LookupJson, WireError> {
        Ok(LookupJson {
            address: lookup.address.clone(),
            provider: lookup.provider.clone(),
            arguments: encode_map(&lookup.arguments, self.seal.values())?,
            deferred: self.deferred(lookup.deferred.as_ref())?,
            depends_on: lookup.depends_on.clone(),
            reads: lookup.reads.clone(),
            needed_by: lookup.needed_by.clone(),
            reason: lookup.reason,
            result: encode(&lookup.result, self.seal.values())?,
            place: lookup.place.clone(),
        })
    }

    fn owner(&mut self, owner: &OwnerChange) -> Result<OwnerJson, WireError> {
        let Ownership { address, stack, component } = owner.ownership.clone();
        let declaration = owner.declaration.as_ref().map(|declaration| self.declaration(declaration)).transpose()?;
        Ok(OwnerJson { address, stack, component, action: owner.action, declaration })
    }

    fn declaration(&mut self, declaration: &SharedDeclaration) -> Result<DeclarationJson, WireError> {
        Ok(DeclarationJson {
            provider: declaration.provider.clone(),
            config: encode_map(&declaration.config, self.seal.values())?,
            deferred: self.deferred(declaration.deferred.as_ref())?,
            write_only: declaration.write_only.clone(),
            lifecycle: declaration.lifecycle.clone(),
            place: declaration.place.clone(),
        })
    }

    fn change(&mut self, change: &Change) -> Result<ChangeJson, WireError> {
        Ok(ChangeJson {
            address: change.address.clone(),
            deposed: change.deposed.clone(),
            moved_from: change.moved_from.clone(),
            import_id: change.import_id.clone(),
            action: change.action,
            reason: change.why.reason.clone(),
            because: change.why.because.clone(),
            place: change.basis.place.clone(),
            provider: change.how.provider.clone(),
            generation: change.basis.generation,
            prior: change.basis.prior.as_ref().map(|prior| self.prior(prior)).transpose()?,
            after: change.after.as_ref().map(|after| self.after(after)).transpose()?,
            replace_paths: change.why.replace_paths.clone(),
            triggered_by: change.why.triggered_by.clone(),
            ignored: change.basis.ignored.clone(),
            checks: change.how.checks.iter().map(|check| self.check(check)).collect::<Result<_, _>>()?,
            drift: change.why.drift.clone(),
            depends_on: change.how.depends_on.clone(),
            lifecycle: change.how.lifecycle.clone(),
            timeouts: change.how.timeouts,
            data_loss: change.data_loss.clone(),
            in_doubt: change.in_doubt.as_ref().map(|doubt| doubt.text().to_owned()),
            is_held_back: change.is_held_back(),
        })
    }

    fn prior(&self, prior: &Prior) -> Result<PriorJson, WireError> {
        let map = |attributes: &Attributes| encode_map(attributes, self.seal.values());
        Ok(PriorJson {
            status: prior.status,
            identity: map(&prior.identity)?,
            attributes: map(&prior.attributes)?,
            recorded: prior.recorded.as_ref().map(map).transpose()?,
            private: self.seal.private(&prior.private)?,
            dependencies: prior.dependencies.clone(),
            write_only: prior.write_only.clone(),
            inconsistent: prior.inconsistent.clone(),
            lifecycle: prior.lifecycle.clone(),
        })
    }

    fn after(&mut self, after: &After) -> Result<AfterJson, WireError> {
        Ok(AfterJson {
            attributes: encode_map(&after.attributes, self.seal.values())?,
            private: self.seal.private(&after.private)?,
            deferred: self.deferred(after.deferred.as_ref())?,
            write_only: after.write_only.clone(),
            newly_sensitive: after.newly_sensitive.clone(),
        })
    }

    /// A template with unknown values. It is sealed as a whole if any of its results is sensitive, because the descriptor may
    /// contain a part of the secret.
    fn deferred(&mut self, deferred: Option<&Deferred>) -> Result<Option<DeferredJson>, WireError> {
        let Some(deferred) = deferred else { return Ok(None) };
        let identity = Arc::as_ptr(&deferred.template);
        let is_secret = self.secret.contains(&identity);
        let template = match self.known.get(&identity) {
            Some(position) => *position,
            None => {
                let template = text(&self.hidden(deferred.template.to_json(self.seal.values())?, is_secret)?)?;
                self.templates.push(TemplateJson { component: deferred.component.clone(), template });
                self.known.insert(identity, self.templates.len() - 1);
                self.templates.len() - 1
            }
        };
        let captured = match deferred.captured.is_empty() {
            true => None,
            false => Some(self.hidden(deferred.captured.to_json(self.seal.values())?, is_secret)?),
        };
        Ok(Some(DeferredJson { template, captured }))
    }

    fn hidden(&self, json: Json, is_secret: bool) -> Result<Json, WireError> {
        if !is_secret {
            return Ok(json);
        }
        let clear = serde_json::to_vec(&json).map_err(|error| WireError::Damaged(error.to_string()))?;
        Ok(json!({ SEALED: self.seal.values().seal(&Spot::Root, &clear)? }))
    }

    fn check(&mut self, check: &PlannedCheck) -> Result<CheckJson, WireError> {
        Ok(CheckJson {
            when: check.when,
            error: check.error.clone(),
            place: check.place.clone(),
            status: check.status,
            problem: check.problem.clone(),
            deferred: self.deferred(check.deferred.as_ref())?,
        })
    }

    fn output(&mut self, output: &OutputChange) -> Result<OutputJson, WireError> {
        let value = |value: &Option<Value>| value.as_ref().map(|value| encode(value, self.seal.values())).transpose();
        Ok(OutputJson {
            component: output.component.clone(),
            name: output.name.clone(),
            before: value(&output.before)?,
            after: value(&output.after)?,
            deferred: self.deferred(output.deferred.as_ref())?,
            is_newly_sensitive: output.is_newly_sensitive,
            is_public: output.is_public,
            label: output.label.clone(),
        })
    }
}
