//! Random stacks of commands, and edits of them.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A stack.
#[derive(Clone)]
pub(crate) struct Stack {
    components: Vec<Component>,
    /// The moves of all edits so far, as old and new name.
    moves: Vec<(String, String)>,
}

#[derive(Clone)]
struct Component {
    number: usize,
    things: Vec<Thing>,
    /// The number of the next new thing. Numbers are never reused.
    next: usize,
    is_after_the_one_before: bool,
}

#[derive(Clone)]
struct Thing {
    number: usize,
    /// Number of renames.
    renamed: usize,
    value: u32,
    instances: usize,
    /// The thing of the same component whose output it reads.
    reads: Option<usize>,
    has_update: bool,
    /// A new value means a new object, created before the old one is deleted.
    creates_first: bool,
    /// Duration of its calls in milliseconds.
    slow: Option<u32>,
}

impl Stack {
    /// A stack of one to three components.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let components = (0..rng.usize(1..=3)).map(|number| {
            let is_after_the_one_before = rng.bool();
            let things = (0..rng.usize(1..=5)).map(|number| Thing::random(rng, number, !is_after_the_one_before));
            let things: Vec<Thing> = things.collect();
            Component { number, next: things.len(), things, is_after_the_one_before }
        });
        let mut stack = Self { components: components.collect(), moves: Vec::new() };
        stack.drop_idle_reads();
        stack
    }

    /// A copy with changed values, fewer or more things.
    pub(crate) fn edited(&self, rng: &mut Rng) -> Self {
        let mut stack = self.clone();
        if stack.components.len() > 1 && rng.u8(..6) == 0 {
            stack.components.remove(rng.usize(..stack.components.len()));
        }
        for component in &mut stack.components {
            component.things.retain(|_| rng.u8(..5) != 0);
            for thing in &mut component.things {
                if rng.u8(..5) == 0 {
                    let old = thing.name();
                    thing.renamed += 1;
                    let address = |name: &str| format!("c{}/local_command.{name}", component.number);
                    stack.moves.push((address(&old), address(&thing.name())));
                }
                match rng.u8(..4) {
                    0 => thing.value += 1,
                    // A single thing stays single: an instance would have another address for the same key.
                    1 if thing.instances > 1 => thing.instances = rng.usize(2..=3),
                    _ => {}
                }
            }
            if rng.bool() {
                let is_first = !component.is_after_the_one_before;
                component.things.push(Thing::random(rng, component.next, is_first));
                component.next += 1;
            }
        }
        stack.drop_idle_reads();
        stack
    }

    fn drop_idle_reads(&mut self) {
        for component in &mut self.components {
            let single: Vec<usize> =
                component.things.iter().filter(|thing| thing.instances == 1).map(|thing| thing.number).collect();
            for thing in &mut component.things {
                thing.reads = thing.reads.filter(|read| single.contains(read));
            }
        }
    }

    /// The descriptor.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: crash}\ncomponents:\n");
        let mut before = None;
        for component in &self.components {
            let after = before.filter(|_| component.is_after_the_one_before).map(|number| format!("c{number}"));
            let _ = writeln!(text, "  c{}:\n    dependsOn: [{}]", component.number, after.unwrap_or_default());
            text.push_str(if component.things.is_empty() { "    resources: []\n" } else { "    resources:\n" });
            for thing in &component.things {
                let read = component.things.iter().find(|other| Some(other.number) == thing.reads).map(Thing::name);
                text.push_str(&thing.text(component.number, read.as_deref()));
            }
            before = Some(component.number);
        }
        if !self.moves.is_empty() {
            text.push_str("moved:\n");
        }
        for (from, to) in &self.moves {
            let _ = writeln!(text, "  - {{from: {from}, to: {to}}}");
        }
        text
    }

    /// The expected objects: values by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, String> {
        let mut objects = BTreeMap::new();
        for component in &self.components {
            for thing in &component.things {
                let read = component.things.iter().find(|other| Some(other.number) == thing.reads);
                let read = read.map(|read| format!("-{}0", read.key(component.number))).unwrap_or_default();
                for instance in 0..thing.instances {
                    let key = format!("{}{instance}", thing.key(component.number));
                    objects.insert(key, format!("{}{read}", thing.value));
                }
            }
        }
        objects
    }
}

impl Thing {
    /// A random thing. In a dependent component it cannot create first: dependencies would have to create first too,
    /// although their objects keep their keys.
    fn random(rng: &mut Rng, number: usize, may_create_first: bool) -> Self {
        let creates_first = may_create_first && rng.u8(..3) == 0;
        Self {
            number,
            renamed: 0,
            value: 1,
            instances: if rng.u8(..3) == 0 { rng.usize(2..=3) } else { 1 },
            // Two objects with the same key cannot exist at once, so a thing that creates first reads none.
            reads: (number > 0 && !creates_first && rng.bool()).then(|| rng.usize(..number)),
            has_update: !creates_first && rng.u8(..4) != 0,
            creates_first,
            slow: (rng.u8(..4) == 0).then(|| rng.u32(10..150)),
        }
    }

    fn name(&self) -> String {
        match self.renamed {
            0 => format!("r{}", self.number),
            times => format!("r{}x{times}", self.number),
        }
    }

    /// The prefix of its objects' keys.
    fn key(&self, component: usize) -> String {
        let version = if self.creates_first { format!("v{}-", self.value) } else { String::new() };
        format!("c{component}-r{}-{version}", self.number)
    }

    fn text(&self, component: usize, read: Option<&str>) -> String {
        let verbs: &[&str] = if self.has_update {
            &["create", "read", "update", "delete", "find"]
        } else {
            &["create", "read", "delete", "find"]
        };
        let commands: Vec<String> = verbs.iter().map(|verb| format!("{verb}: [sh, thing.sh, {verb}]")).collect();
        let key = self.key(component);
        // A single thing has no forEach, so that other things can read it.
        let (repeat, key) = match self.instances {
            1 => (String::new(), format!("{key}0")),
            count => (format!(", forEach: '${{{{ range({count}) }}}}'"), format!("{key}${{{{ string(each.key) }}}}")),
        };
        let read = read.map(|read| format!("-${{{{ resources.{read}.output.id }}}}")).unwrap_or_default();
        let lifecycle = if self.creates_first { ", lifecycle: {createBeforeDestroy: true}" } else { "" };
        let slow = self.slow.map(|slow| format!(", SLOW: '0.{slow:03}'")).unwrap_or_default();
        format!(
            "      - {{type: local_command, name: {}{repeat}{lifecycle}, config: {{{}, \
             environment: {{KEY: '{key}', VALUE: '{}{read}'{slow}}}}}}}\n",
            self.name(),
            commands.join(", "),
            self.value,
        )
    }
}
