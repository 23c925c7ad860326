//! Random stacks: components with resources that read each other, in one order or its reverse.

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const COMPONENTS: usize = 3;
pub(super) const RESOURCES: usize = 4;
/// Prefix of every secret.
pub(super) const SECRET: &str = "hunter";

/// A declared resource.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) ty: &'static str,
    /// A new version replaces the object.
    version: u8,
    val: u8,
    creates_first: bool,
    /// It has its other name: a change of this moves it.
    pub(super) is_renamed: bool,
    /// It ignores changes of its value.
    is_ignoring: bool,
    /// It is replaced with the first resource that it reads.
    is_triggered: bool,
    /// Its secret, if any.
    secret: Option<u8>,
    /// It also reads the secrets of the resources it reads.
    is_reading_secrets: bool,
    /// The keys of its instances; `None` for a single one.
    pub(super) instances: Option<BTreeSet<char>>,
    /// The earlier resources, in the order of the stack, that it reads and depends on.
    reads: [bool; RESOURCES],
    after: [bool; RESOURCES],
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) things: Vec<Option<Thing>>,
    /// Reads go from later to earlier resources, in either order.
    is_reversed: bool,
    /// The earlier components, in the order of the stack, that it depends on.
    depends_on: [bool; COMPONENTS],
    /// It owns the shared object, with this value.
    is_sharing: bool,
    /// It has an output of all its secrets.
    has_secret_output: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Stack {
    pub(super) parts: Vec<Option<Part>>,
    is_reversed: bool,
    shared: u8,
    /// The shared object has a secret.
    is_shared_secret: bool,
}

fn thing() -> impl Strategy<Value = Thing> {
    (
        prop_oneof![4 => Just("world_thing"), 1 => Just("world_data"), 2 => Just("world_note")],
        0..2_u8,
        0..3_u8,
        prop::option::weighted(0.3, 0..2_u8),
        prop::array::uniform5(prop::bool::weighted(0.3)),
        prop::option::weighted(0.3, prop::collection::btree_set(prop::char::range('x', 'z'), 0..3)),
        prop::array::uniform4(prop::bool::weighted(0.4)),
        prop::array::uniform4(prop::bool::weighted(0.2)),
    )
        .prop_map(|(ty, version, val, secret, flags, instances, reads, after)| {
            let [creates_first, is_renamed, is_ignoring, is_triggered, is_reading_secrets] = flags;
            Thing {
                ty,
                version,
                val,
                secret,
                is_reading_secrets,
                creates_first,
                is_renamed,
                is_ignoring,
                is_triggered,
                instances,
                reads,
                after,
            }
        })
}

pub(super) fn stack() -> impl Strategy<Value = Stack> {
    let part = (
        prop::collection::vec(prop::option::weighted(0.7, thing()), RESOURCES),
        any::<bool>(),
        prop::array::uniform3(prop::bool::weighted(0.5)),
        prop::bool::weighted(0.4),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(things, is_reversed, depends_on, is_sharing, has_secret_output)| Part {
            things,
            is_reversed,
            depends_on,
            is_sharing,
            has_secret_output,
        });
    let parts = prop::collection::vec(prop::option::weighted(0.8, part), COMPONENTS);
    (parts, any::<bool>(), 0..2_u8, prop::bool::weighted(0.3)).prop_map(
        |(parts, is_reversed, shared, is_shared_secret)| Stack { parts, is_reversed, shared, is_shared_secret },
    )
}

/// The positions before a position, in an order or its reverse.
fn before(position: usize, of: usize, is_reversed: bool) -> Vec<usize> {
    if is_reversed { (position + 1..of).collect() } else { (0..position).collect() }
}

impl Stack {
    /// The address of a resource.
    pub(super) fn address_of(&self, index: Option<prop::sample::Index>) -> Option<String> {
        let parts = self.parts.iter().enumerate().filter_map(|(number, part)| Some((number, part.as_ref()?)));
        let addresses: Vec<String> =
            parts.flat_map(|(number, part)| (0..RESOURCES).filter_map(move |at| part.address(number, at))).collect();
        (!addresses.is_empty()).then(|| index.map(|index| index.get(&addresses).clone()))?
    }

    pub(super) fn text(&self) -> String {
        self.text_of(false)
    }

    /// The same stack, with instances that are unknown until apply.
    pub(super) fn waiting_text(&self) -> String {
        self.text_of(true)
    }

    fn text_of(&self, is_waiting: bool) -> String {
        let mut text = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nvariables: {{t: {{type: string, default: \
             {SECRET}, sensitive: true}}}}\ncomponents:\n"
        );
        for (number, part) in self.parts.iter().enumerate() {
            let Some(part) = part else { continue };
            let needed: Vec<String> = before(number, COMPONENTS, self.is_reversed)
                .into_iter()
                .filter(|other| part.depends_on[*other] && self.parts[*other].is_some())
                .map(|other| format!("c{other}"))
                .collect();
            let _ = writeln!(text, "  c{number}:\n    dependsOn: [{}]\n    resources:", needed.join(", "));
            if part.is_sharing {
                let secret =
                    if self.is_shared_secret { ", secret: '${{ vars.t }}-base'".to_owned() } else { String::new() };
                let _ = writeln!(
                    text,
                    "      - {{type: world_thing, name: base, shared: common, lifecycle: {{onLastRelease: delete}}, \
                     config: {{key: base-{}, val: 1{secret}}}}}",
                    self.shared
                );
            }
            for (at, thing) in part.things.iter().enumerate() {
                if let Some(thing) = thing {
                    text.push_str(&part.declaration(number, at, thing, is_waiting));
                }
            }
            if !part.is_sharing && part.things.iter().all(Option::is_none) {
                text.truncate(text.trim_end().len());
                text.push_str(" []\n");
            }
            text.push_str(&part.output());
        }
        if self.parts.iter().all(Option::is_none) {
            text.truncate(text.trim_end().len());
            text.push_str(" {}\n");
        }
        text
    }
}

impl Thing {
    /// The key of its object; with instances, a part of the key.
    pub(super) fn key(&self, component: usize, at: usize) -> String {
        format!("{}-c{component}-r{at}-{}", self.ty, self.version)
    }
}

impl Part {
    /// The name of the resource at a position.
    fn name(&self, at: usize) -> String {
        let is_renamed = self.things[at].as_ref().is_some_and(|thing| thing.is_renamed);
        format!("{}{at}", if is_renamed { "s" } else { "r" })
    }

    pub(super) fn address(&self, component: usize, at: usize) -> Option<String> {
        Some(format!("c{component}/{}.{}", self.things[at].as_ref()?.ty, self.name(at)))
    }

    /// The paths to the secrets of the resource at a position.
    fn secrets(&self, at: usize) -> Vec<String> {
        let Some(thing) = self.things[at].as_ref().filter(|thing| thing.secret.is_some()) else { return Vec::new() };
        let name = self.name(at);
        match &thing.instances {
            None => vec![format!("resources.{name}.secret")],
            Some(keys) => keys.iter().map(|key| format!("resources.{name}[\"{key}\"].secret")).collect(),
        }
    }

    fn output(&self) -> String {
        let secrets: Vec<String> = (0..RESOURCES).flat_map(|at| self.secrets(at)).collect();
        match self.has_secret_output && !secrets.is_empty() {
            true => {
                format!("    outputs: {{all: {{value: '${{{{ [{}] }}}}', sensitive: true}}}}\n", secrets.join(", "))
            }
            false => String::new(),
        }
    }

    fn declaration(&self, component: usize, at: usize, thing: &Thing, is_waiting: bool) -> String {
        let others = before(at, RESOURCES, self.is_reversed);
        let there = |other: &usize| self.things[*other].is_some();
        let mut read: Vec<String> = Vec::new();
        let triggers: Vec<usize> = others.iter().copied().filter(there).filter(|other| thing.reads[*other]).collect();
        for other in triggers.iter().copied() {
            match &self.things[other].as_ref().unwrap().instances {
                None => read.push(format!("resources.{}.id", self.name(other))),
                Some(keys) => {
                    read.extend(keys.iter().map(|key| format!("resources.{}[\"{key}\"].id", self.name(other))));
                }
            }
        }
        if self.is_sharing && thing.val == 2 {
            read.push("resources.base.id".to_owned());
        }
        let after: Vec<String> = others
            .into_iter()
            .filter(there)
            .filter(|other| thing.after[*other])
            .map(|other| self.name(other))
            .collect();
        let mut values = vec![format!("{}", thing.val)];
        let secrets = triggers.iter().filter(|_| thing.is_reading_secrets).flat_map(|other| self.secrets(*other));
        values.extend(read.iter().cloned().chain(secrets).map(|path| format!("${{{{ {path} }}}}")));
        let values: Vec<String> = values.into_iter().map(|value| format!("'{value}'")).collect();
        let key = thing.key(component, at);
        let (repeat, key) = match &thing.instances {
            None => (String::new(), key),
            Some(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                let keys = match read.first().filter(|_| is_waiting) {
                    Some(path) => format!("{path} != \"\" ? [{}] : [\"none\"]", keys.join(", ")),
                    None => format!("[{}]", keys.join(", ")),
                };
                (format!(", forEach: '${{{{ {keys} }}}}'"), format!("${{{{ each.key }}}}-{key}"))
            }
        };
        let mut lifecycle = Vec::new();
        if thing.creates_first {
            lifecycle.push("createBeforeDestroy: true".to_owned());
        }
        if thing.is_ignoring {
            lifecycle.push("ignoreChanges: [val]".to_owned());
        }
        if let Some(other) = triggers.first().filter(|_| thing.is_triggered) {
            lifecycle.push(format!("replaceTriggeredBy: [{}]", self.name(*other)));
        }
        let lifecycle = lifecycle.join(", ");
        let secret = |secret| format!(", secret: '${{{{ vars.t }}}}-{component}-{at}-{secret}'");
        let secret = thing.secret.map_or(String::new(), secret);
        format!(
            "      - {{type: {}, name: {}{repeat}, lifecycle: {{{lifecycle}}}, dependsOn: [{}], \
             config: {{key: '{key}', val: [{}]{secret}}}}}\n",
            thing.ty,
            self.name(at),
            after.join(", "),
            values.join(", ")
        )
    }
}
