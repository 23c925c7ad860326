//! The documented functions of expressions.

/// A documented function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionDoc {
    /// The name.
    pub name: &'static str,
    /// The way to call it.
    pub style: Style,
    /// The syntax and the result type.
    pub signature: &'static str,
    /// The description.
    pub doc: &'static str,
}

/// The ways to call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `name(value)`.
    Global,
    /// `value.name()`.
    Member,
    /// Both ways.
    Both,
}

const fn global(name: &'static str, signature: &'static str, doc: &'static str) -> FunctionDoc {
    FunctionDoc { name, style: Style::Global, signature, doc }
}

const fn member(name: &'static str, signature: &'static str, doc: &'static str) -> FunctionDoc {
    FunctionDoc { name, style: Style::Member, signature, doc }
}

const fn both(name: &'static str, signature: &'static str, doc: &'static str) -> FunctionDoc {
    FunctionDoc { name, style: Style::Both, signature, doc }
}

/// All functions, terrace's own first.
pub const FUNCTIONS: &[FunctionDoc] = &[
    both(
        "cron",
        "cron(quartz) -> text",
        "the five cron fields of a Quartz expression; fails if cron has no equivalent",
    ),
    both("file", "file(path) -> text", "the text of a file, in terrace.yaml only"),
    both(
        "identity",
        "identity(principal, provider) -> {kind, name}",
        "a principal as the provider names it; the configuration's `identities.table` has priority",
    ),
    both(
        "identities",
        "identities(principals, provider) -> list",
        "the principals that the provider knows; a plan warns about the others",
    ),
    both("json", "json(value) -> text", "the value as compact JSON, keys sorted"),
    both("lower", "lower(text) -> text", "lower case, of all scripts"),
    global("merge", "merge(first, second) -> map", "the entries of both maps; the second wins"),
    both(
        "normalize",
        "normalize(text) -> text",
        "safe as an identifier: lower case, runs of other characters than a-z, 0-9 and _ become one _, none at the ends, one before a leading digit; letters beyond ASCII become Latin ones, with a digest at the end",
    ),
    both(
        "quartz",
        "quartz(cron) -> text",
        "a Quartz expression of five cron fields, with seconds and `?` as Quartz requires",
    ),
    both("range", "range(n) -> list", "the whole numbers from 0 up to n, without n; at most 1,000,000"),
    both("sha256", "sha256(text) -> text", "the SHA-256 digest of the text, as 64 hexadecimal digits"),
    both(
        "sqlColumns",
        "sqlColumns(provider, columns) -> list",
        "the columns of a schema in the form of the provider's tables: {name, type, nullable, previousName, comment}",
    ),
    global(
        "sqlComment",
        "sqlComment(description, tags) -> text",
        "the description, and below it the tags of the catalogue ({tagFQN, value}) as `tags: PII, Tier=1`; null without both",
    ),
    both(
        "sqlPrimaryKey",
        "sqlPrimaryKey(columns) -> list",
        "the names of the columns whose `constraint` is PRIMARY_KEY, or that are `primaryKey: true`",
    ),
    both(
        "sqlReads",
        "sqlReads(provider, query, defaults) -> map",
        "the tables and functions that a query reads in the provider's SQL: {reads: [{name, written, isFunction, line}], refused: [{what, hint, isFinal, line}]}; the defaults (database, schema) complete a name",
    ),
    both(
        "sqlType",
        "sqlType(provider, column) -> text",
        "the provider's type of a column: {dataType, dataLength, precision, scale}",
    ),
    both(
        "sqlUnique",
        "sqlUnique(columns) -> list",
        "of each column whose `constraint` is UNIQUE, or that is `unique: true`, a list of its name",
    ),
    both("upper", "upper(text) -> text", "upper case, of all scripts"),
    both(
        "urn",
        "urn(text) -> map",
        "the parts of a URN: {namespace, kind, domain, name, major, component, parts}; missing parts are null",
    ),
    both("yaml", "yaml(value) -> text", "the value as YAML, keys sorted"),
    // CEL's own.
    member("all", "list.all(item, condition) -> bool", "whether the condition holds for all items, or keys of a map"),
    global("bool", "bool(text) -> bool", "true or false from text"),
    global("bytes", "bytes(text) -> bytes", "the UTF-8 bytes of a text; as a result they become base64 text"),
    member("contains", "text.contains(part) -> bool", "whether the part occurs in the text"),
    global("double", "double(value) -> double", "a decimal number from a whole one or from text"),
    global("dyn", "dyn(value) -> value", "the value itself"),
    member("endsWith", "text.endsWith(end) -> bool", "whether the text ends with the other"),
    member(
        "exists",
        "list.exists(item, condition) -> bool",
        "whether the condition holds for an item, or key of a map",
    ),
    member(
        "exists_one",
        "list.exists_one(item, condition) -> bool",
        "whether the condition holds for exactly one item",
    ),
    member("existsOne", "list.existsOne(item, condition) -> bool", "the same as exists_one"),
    member(
        "filter",
        "list.filter(item, condition) -> list",
        "the items, or keys of a map, for which the condition holds",
    ),
    global("has", "has(path) -> bool", "whether the path exists"),
    global("int", "int(value) -> int", "a whole number from a decimal one (cut) or from text"),
    member(
        "map",
        "list.map(item, value) -> list",
        "a value for each item, or key of a map; list.map(item, condition, value) for some",
    ),
    both("matches", "text.matches(regex) -> bool", "whether the regular expression (RE2) matches anywhere in the text"),
    both("size", "size(value) -> int", "how many characters, items or entries"),
    member("startsWith", "text.startsWith(start) -> bool", "whether the text starts with the other"),
    global("string", "string(value) -> text", "text from a number, true/false or bytes"),
    global("type", "type(value) -> type", "the type of a value"),
    global("uint", "uint(value) -> uint", "an unsigned whole number"),
    // Optional values: `map.?key.orValue("none")`.
    member("hasValue", "optional.hasValue() -> bool", "whether there is a value"),
    member("or", "optional.or(other) -> optional", "this optional, or the other if this one is empty"),
    member("orValue", "optional.orValue(value) -> value", "the value, or the one given: `map.?key.orValue(1)`"),
    member("value", "optional.value() -> value", "the value; fails without a value"),
    global("optional.none", "optional.none() -> optional", "no value"),
    global("optional.of", "optional.of(value) -> optional", "an optional with the value"),
    global(
        "optional.ofNonZeroValue",
        "optional.ofNonZeroValue(value) -> optional",
        "an optional with the value, or no value if it is empty, 0 or false",
    ),
    member("optMap", "optional.optMap(item, value) -> optional", "another value, if there is a value"),
    member("optFlatMap", "optional.optFlatMap(item, optional) -> optional", "another optional, if there is a value"),
    // The extension for texts.
    member("charAt", "text.charAt(index) -> text", "the character at an index, from 0"),
    member("format", "text.format(list) -> text", "the text with %s, %d, %f, %x … replaced by the items"),
    member(
        "indexOf",
        "text.indexOf(part) -> int",
        "where the part first occurs, or -1; from an index: text.indexOf(part, from)",
    ),
    member("join", "list.join(separator) -> text", "the texts of a list, joined"),
    member("lastIndexOf", "text.lastIndexOf(part) -> int", "where the part last occurs, or -1"),
    member("lowerAscii", "text.lowerAscii() -> text", "lower case, of ASCII letters only"),
    member(
        "replace",
        "text.replace(old, new) -> text",
        "every occurrence replaced; the first n: text.replace(old, new, n)",
    ),
    member("reverse", "value.reverse() -> value", "the characters or items in reverse order"),
    member(
        "split",
        "text.split(separator) -> list",
        "the parts between separators; at most n: text.split(separator, n)",
    ),
    member("substring", "text.substring(start) -> text", "from an index on; up to another: text.substring(start, end)"),
    member("trim", "text.trim() -> text", "without white space at the ends"),
    member("upperAscii", "text.upperAscii() -> text", "upper case, of ASCII letters only"),
    global("strings.quote", "strings.quote(text) -> text", "the text as a quoted and escaped literal"),
    // The extension for lists.
    member("distinct", "list.distinct() -> list", "each item once"),
    member("flatten", "list.flatten() -> list", "items of nested lists in one list; deeper: list.flatten(depth)"),
    member("slice", "list.slice(start, end) -> list", "the items from an index up to another, without that"),
    member("sort", "list.sort() -> list", "the items in order"),
    member("sortBy", "list.sortBy(item, key) -> list", "the items in the order of their keys"),
    global("lists.range", "lists.range(n) -> list", "the same as range(n)"),
    // The extension for numbers.
    global("math.abs", "math.abs(number) -> number", "without the sign"),
    global("math.bitAnd", "math.bitAnd(a, b) -> int", "bitwise and"),
    global("math.bitNot", "math.bitNot(a) -> int", "bitwise not"),
    global("math.bitOr", "math.bitOr(a, b) -> int", "bitwise or"),
    global("math.bitShiftLeft", "math.bitShiftLeft(a, n) -> int", "shifted to the left"),
    global("math.bitShiftRight", "math.bitShiftRight(a, n) -> int", "shifted to the right"),
    global("math.bitXor", "math.bitXor(a, b) -> int", "bitwise exclusive or"),
    global("math.ceil", "math.ceil(double) -> double", "rounded up"),
    global("math.floor", "math.floor(double) -> double", "rounded down"),
    global("math.greatest", "math.greatest(a, b, …) -> number", "the greatest"),
    global("math.isFinite", "math.isFinite(double) -> bool", "whether it is a finite number"),
    global("math.isInf", "math.isInf(double) -> bool", "whether it is infinite"),
    global("math.isNaN", "math.isNaN(double) -> bool", "whether it is NaN"),
    global("math.least", "math.least(a, b, …) -> number", "the least"),
    global("math.round", "math.round(double) -> double", "rounded to the nearest, half away from zero"),
    global("math.sign", "math.sign(number) -> number", "-1, 0 or 1"),
    global("math.sqrt", "math.sqrt(number) -> double", "the square root"),
    global("math.trunc", "math.trunc(double) -> double", "rounded towards zero"),
];
