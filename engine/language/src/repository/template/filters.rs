//! Filters, functions and methods of Nunjucks and JavaScript whose results differ from minijinja's.

use super::pattern::Compiled;
use super::prepare::{COMPARE, INDEX, ITEMS, LIMITED, PAIRS, SUM};
use super::values::{LONGEST_TEXT, charge, is_equal, items, json, limited, list, text, too_large};
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde::Serialize;

/// The length of a text that costs one unit of work, in bytes.
const UNIT: usize = 64;

/// Adds the filters, functions and methods.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("dump", dump);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("join", join);
    environment.add_filter("length", length);
    environment.add_filter("list", list_of);
    environment.add_filter("reject", reject);
    environment.add_filter("replace", |state: &State<'_, '_>, value: Value, old: Value, new: Value| {
        replace(state, &value, &old, &new, true)
    });
    environment.add_filter("round", round);
    environment.add_filter("select", select);
    environment.add_filter("string", |state: &State<'_, '_>, value: Value| text(state, &value));
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", urlencode);
    environment.add_test("truthy", |value: Value| value.is_true());
    environment.add_test("falsy", |value: Value| !value.is_true());
    environment.add_test("null", |value: Value| value.is_none());
    environment.add_function(COMPARE, compare);
    environment.add_function(INDEX, index);
    environment.add_function(ITEMS, items_of);
    environment.add_function(PAIRS, pairs);
    environment.add_function(SUM, sum);
    environment.add_function(LIMITED, |state: &State<'_, '_>, value: Value| limited(state, value));
    environment.add_filter(LIMITED, |state: &State<'_, '_>, value: Value| limited(state, value));
    environment.remove_global("debug");
    // Nunjucks has none of these. A namespace and chains can nest without a limit.
    environment.remove_global("namespace");
    environment.remove_filter("chain");
    environment.remove_filter("zip");
    environment.set_unknown_method_callback(|state, value, name, arguments| method(state, value, name, arguments));
}

/// `JSON.stringify`.
fn dump(state: &State<'_, '_>, value: Value, spaces: Option<u32>) -> Result<Value, Error> {
    /// The most that JavaScript indents.
    const MOST_SPACES: u32 = 10;
    let Some(json) = json(state, &value)? else { return Ok(Value::UNDEFINED) };
    let indent = b" ".repeat(spaces.unwrap_or_default().min(MOST_SPACES) as usize);
    let mut bytes = LimitedBytes::default();
    let written = match indent.is_empty() {
        true => serde_json::to_writer(&mut bytes, &json),
        false => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    if written.is_err() {
        return Err(too_large());
    }
    Ok(Value::from(String::from_utf8(bytes.0).unwrap_or_default()))
}

/// Bytes up to the length of a text.
#[derive(Default)]
struct LimitedBytes(Vec<u8>);

impl std::io::Write for LimitedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > LONGEST_TEXT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Compares two values as JavaScript does: `1 == "1"`.
/// <https://tc39.es/ecma262/#sec-islooselyequal>, <https://tc39.es/ecma262/#sec-islessthan>
fn compare(state: &State<'_, '_>, operator: &str, one: Value, other: Value) -> Result<bool, Error> {
    match operator {
        "==" => is_loosely_equal(state, &one, &other),
        "!=" => Ok(!is_loosely_equal(state, &one, &other)?),
        _ => {
            let order = match (one.as_str(), other.as_str()) {
                (Some(one), Some(other)) => Some(one.encode_utf16().cmp(other.encode_utf16())),
                // `NaN` has no order.
                _ => number_of(state, &one)?.partial_cmp(&number_of(state, &other)?),
            };
            Ok(order.is_some_and(|order| match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
    }
}

fn is_loosely_equal(state: &State<'_, '_>, one: &Value, other: &Value) -> Result<bool, Error> {
    let is_nothing = |value: &Value| matches!(value.kind(), ValueKind::Undefined | ValueKind::None);
    let is_object = |value: &Value| !matches!(value.kind(), ValueKind::Bool | ValueKind::Number | ValueKind::String);
    match (is_nothing(one), is_nothing(other)) {
        (true, true) => return Ok(true),
        (false, false) => {}
        _ => return Ok(false),
    }
    match (is_object(one), is_object(other)) {
        (true, true) => {
            let message = "lists and maps cannot be compared: in Nunjucks they differ even with the same content";
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
        (true, false) => is_loosely_equal(state, &text(state, one)?.into(), other),
        (false, true) => is_loosely_equal(state, one, &text(state, other)?.into()),
        (false, false) if one.kind() == other.kind() => is_equal(state, one, other),
        (false, false) => Ok(number_of(state, one)? == number_of(state, other)?),
    }
}

/// `Number(value)`.
fn number_of(state: &State<'_, '_>, value: &Value) -> Result<f64, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined => f64::NAN,
        ValueKind::None => 0.0,
        ValueKind::Bool => f64::from(u8::from(value.is_true())),
        ValueKind::Number => f64::try_from(value.clone())?,
        _ => {
            let text = text(state, value)?;
            let is_decimal = text.trim().chars().all(|char| char.is_ascii_digit() || "+-.eE".contains(char));
            match text.trim() {
                "" => 0.0,
                text => text.parse().ok().filter(|_| is_decimal).unwrap_or(f64::NAN),
            }
        }
    })
}

/// Operands with `+`, `-` or `~` between them, from left to right. A text, a list or a map makes the result of `+` a text.
/// <https://tc39.es/ecma262/#sec-applystringornumericbinaryoperator>
fn sum(state: &State<'_, '_>, operands: Rest<Value>) -> Result<Value, Error> {
    let is_text = |value: &Value| {
        !matches!(value.kind(), ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number)
    };
    let mut operands = operands.0.into_iter();
    let mut sum = operands.next().unwrap_or_default();
    let mut joined: Option<String> = None;
    while let (Some(operator), Some(operand)) = (operands.next(), operands.next()) {
        let operator = operator.as_str().unwrap_or_default();
        if operator != "-" && (joined.is_some() || operator == "~" || is_text(&sum) || is_text(&operand)) {
            let mut text = joined.take().map_or_else(|| text_or_word(state, &sum), Ok)?;
            text.push_str(&text_or_word(state, &operand)?);
            if text.len() > LONGEST_TEXT {
                return Err(too_large());
            }
            joined = Some(text);
            continue;
        }
        if let Some(text) = joined.take() {
            sum = Value::from(text);
        }
        let whole = if sum.is_integer() && operand.is_integer() { sum.as_i64().zip(operand.as_i64()) } else { None };
        let whole = whole.and_then(|(one, other)| match operator {
            "-" => one.checked_sub(other),
            _ => one.checked_add(other),
        });
        let (one, other) = (number_of(state, &sum)?, number_of(state, &operand)?);
        sum = whole.map_or_else(|| Value::from(if operator == "-" { one - other } else { one + other }), Value::from);
    }
    let Some(text) = joined else { return Ok(sum) };
    charge(state, 1 + text.len() / UNIT)?;
    Ok(text.into())
}

/// The text of a value; `undefined` and `null` have their names as text.
fn text_or_word(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok("undefined".to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        _ => text(state, value),
    }
}

/// The index of a list or a text. A negative one is a key that neither has.
fn index(value: Value) -> Value {
    match value.as_i64() {
        Some(number) if number < 0 => Value::from(number.to_string()),
        _ => value,
    }
}

/// Rounds half up, up or down: `round(2, "floor")`.
fn round(value: Value, precision: Option<i32>, method: Option<String>) -> Result<Value, Error> {
    let Ok(number) = f64::try_from(value.clone()) else {
        let message = format!("`round` takes a number, and this is a {}", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    };
    let factor = 10_f64.powi(precision.unwrap_or_default());
    let scaled = number * factor;
    let rounded = match method.as_deref() {
        Some("ceil") => scaled.ceil(),
        Some("floor") => scaled.floor(),
        // `Math.round`.
        _ => (scaled + 0.5).floor(),
    };
    Ok(Value::from(rounded / factor))
}

fn default(value: Value, other: Option<Value>, is_for_false: Option<bool>) -> Value {
    let is_absent = value.is_undefined() || is_for_false == Some(true) && !value.is_true();
    if is_absent { other.unwrap_or_default() } else { value }
}

fn indent(
    state: &State<'_, '_>,
    value: Value,
    width: Option<usize>,
    is_first_indented: Option<bool>,
) -> Result<String, Error> {
    let (text, width) = (text(state, &value)?, width.unwrap_or(4));
    let added = width.saturating_mul(text.matches('\n').count() + 1);
    if added.saturating_add(text.len()) > LONGEST_TEXT {
        return Err(too_large());
    }
    let spaces = " ".repeat(width);
    let first = if is_first_indented == Some(true) && !text.is_empty() { spaces.as_str() } else { "" };
    Ok(format!("{first}{}", text.replace('\n', &format!("\n{spaces}"))))
}

/// `parseInt`: the digits at the beginning.
fn int(state: &State<'_, '_>, value: Value, default: Option<Value>) -> Result<Value, Error> {
    let text = text(state, &value)?;
    let trimmed = text.trim_start();
    let digits = trimmed.trim_start_matches(['-', '+']);
    let sign = trimmed.len() - digits.len();
    let length = digits.len() - digits.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let number = trimmed.get(..sign + length).and_then(|number| number.parse::<i64>().ok());
    Ok(number.map_or(default.unwrap_or_default(), Value::from))
}

fn join(
    state: &State<'_, '_>,
    value: Value,
    separator: Option<String>,
    attribute: Option<String>,
) -> Result<String, Error> {
    let (separator, mut result) = (separator.unwrap_or_default(), String::new());
    for (position, item) in value.try_iter()?.enumerate() {
        if position > 0 {
            result.push_str(&separator);
        }
        match &attribute {
            Some(name) => result.push_str(&text(state, &item.get_attr(name)?)?),
            None => result.push_str(&text(state, &item)?),
        }
        if result.len() > LONGEST_TEXT {
            return Err(too_large());
        }
    }
    Ok(result)
}

/// The length in units of UTF-16, or the number of items. Undefined, null and false have none.
fn length(value: Value) -> Value {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, |text| text.encode_utf16().count()).into(),
        ValueKind::Undefined | ValueKind::None | ValueKind::Bool => 0.into(),
        _ => value.len().map_or(Value::UNDEFINED, Value::from),
    }
}

/// The characters of a text, the pairs of a map as maps, or the list itself.
fn list_of(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => list(state, value.as_str().unwrap_or_default().chars().map(Value::from)),
        ValueKind::Map => {
            let pair = |key: Value| {
                let item = value.get_item(&key)?;
                Ok(Value::from_pairs([("key", key), ("value", item)]))
            };
            let pairs = items(state, &value)?.into_iter().map(pair).collect::<Result<Vec<_>, Error>>()?;
            list(state, pairs)
        }
        _ => list(state, value.try_iter()?),
    }
}

/// The items of `for item in …`. Nunjucks counts up to `length`, which only lists and texts have: a map has no items.
/// <https://github.com/mozilla/nunjucks/blob/master/nunjucks/src/compiler.js>, `compileFor`
fn items_of(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => list_of(state, value),
        ValueKind::Map | ValueKind::Number | ValueKind::Bool => list(state, Vec::new()),
        _ => Ok(value),
    }
}

/// The items of `for key, value in …`: a text has its characters by their positions.
fn pairs(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map => {}
        ValueKind::String => {
            let characters = value.as_str().unwrap_or_default().chars().enumerate();
            let pairs = characters.map(|(position, one)| list(state, [position.to_string().into(), Value::from(one)]));
            return list(state, pairs.collect::<Result<Vec<_>, Error>>()?);
        }
        ValueKind::Number | ValueKind::Bool => return list(state, Vec::new()),
        _ => return Ok(value),
    }
    let pair = |key: Value| list(state, [key.clone(), value.get_item(&key)?]);
    let pairs = items(state, &value)?.into_iter().map(pair).collect::<Result<Vec<_>, Error>>()?;
    list(state, pairs)
}

fn select(
    state: &mut State<'_, '_>,
    value: Value,
    test: Option<String>,
    arguments: Rest<Value>,
) -> Result<Value, Error> {
    filtered(state, &value, test.as_deref(), &arguments, true)
}

fn reject(
    state: &mut State<'_, '_>,
    value: Value,
    test: Option<String>,
    arguments: Rest<Value>,
) -> Result<Value, Error> {
    filtered(state, &value, test.as_deref(), &arguments, false)
}

/// The items that pass a test, or those that do not.
fn filtered(
    state: &mut State<'_, '_>,
    value: &Value,
    test: Option<&str>,
    arguments: &[Value],
    is_kept: bool,
) -> Result<Value, Error> {
    let mut kept = Vec::new();
    for item in value.try_iter()? {
        state.consume_fuel(1)?;
        let passes = match test {
            None => item.is_true(),
            Some(test) => {
                let all: Vec<Value> = std::iter::once(item.clone()).chain(arguments.iter().cloned()).collect();
                state.perform_test(test, &all)?
            }
        };
        if passes == is_kept {
            kept.push(item);
        }
    }
    list(state, kept)
}

/// Replaces a text, or the matches of a regular expression. Other values than texts and numbers stay.
fn replace(
    state: &State<'_, '_>,
    value: &Value,
    old: &Value,
    new: &Value,
    is_everywhere: bool,
) -> Result<Value, Error> {
    if !matches!(value.kind(), ValueKind::String | ValueKind::Number) {
        return Ok(value.clone());
    }
    let (from, new) = (text(state, value)?, text(state, new)?);
    if let Some(pattern) = old.downcast_object_ref::<Compiled>() {
        return pattern.replace(&from, &new).map(Value::from);
    }
    let old = text(state, old)?;
    if !is_everywhere {
        return Ok(from.replacen(&old, &new, 1).into());
    }
    let added = from.matches(&old).count().saturating_mul(new.len());
    if added.saturating_add(from.len()) > LONGEST_TEXT {
        return Err(too_large());
    }
    Ok(from.replace(&old, &new).into())
}

/// The beginning of a text, up to a word, with `...` behind it.
fn truncate(
    state: &State<'_, '_>,
    value: Value,
    length: Option<usize>,
    cuts_words: Option<Value>,
    end: Option<Value>,
) -> Result<String, Error> {
    /// The length by default, in units of UTF-16 as all lengths of JavaScript.
    const LENGTH: usize = 255;
    let full = text(state, &value)?;
    let units: Vec<u16> = full.encode_utf16().collect();
    let length = length.filter(|length| *length > 0).unwrap_or(LENGTH);
    if units.len() <= length {
        return Ok(full);
    }
    let space = units.iter().take(length + 1).rposition(|unit| *unit == u16::from(b' '));
    let kept = space.filter(|_| !cuts_words.is_some_and(|cuts| cuts.is_true())).unwrap_or(length);
    let kept = String::from_utf16_lossy(units.get(..kept).unwrap_or_default());
    let end = end.filter(|end| !end.is_undefined() && !end.is_none());
    Ok(kept + &end.map_or(Ok("...".to_owned()), |end| text(state, &end))?)
}

/// `encodeURIComponent`, of a text or of each pair.
fn urlencode(state: &State<'_, '_>, value: Value) -> Result<String, Error> {
    let mut result = String::new();
    let mut add = |key: &Value, item: &Value| {
        if !result.is_empty() {
            result.push('&');
        }
        encode(&text(state, key)?, &mut result)?;
        result.push('=');
        encode(&text(state, item)?, &mut result)
    };
    match value.kind() {
        ValueKind::Map => {
            for key in value.try_iter()? {
                add(&key, &value.get_item(&key)?)?;
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                add(&item.get_item_by_index(0)?, &item.get_item_by_index(1)?)?;
            }
        }
        _ => encode(&text(state, &value)?, &mut result)?,
    }
    Ok(result)
}

fn encode(text: &str, result: &mut String) -> Result<(), Error> {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
        if result.len() > LONGEST_TEXT {
            return Err(too_large());
        }
    }
    Ok(())
}

/// A method of a text or a list in JavaScript.
fn method(state: &State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let argument = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    match value.kind() {
        ValueKind::String => method_of_text(state, value.as_str().unwrap_or_default(), value, name, argument),
        ValueKind::Seq | ValueKind::Iterable => method_of_list(state, value, name, argument),
        _ if name == "toString" => text(state, value).map(Value::from),
        _ => Err(unknown(value, name)),
    }
}

fn unknown(value: &Value, name: &str) -> Error {
    let message = match value.kind() {
        ValueKind::Undefined | ValueKind::None => format!("`.{name}()` is called on a value that is not defined"),
        kind => format!("a {kind} has no method `{name}`"),
    };
    Error::new(ErrorKind::UnknownMethod, message)
}

fn method_of_text(
    state: &State<'_, '_>,
    text_value: &str,
    value: &Value,
    name: &str,
    argument: impl Fn(usize) -> Value,
) -> Result<Value, Error> {
    let first = argument(0);
    let first_text = || text(state, &first);
    Ok(match name {
        "split" => {
            let limit = argument(1).as_usize().unwrap_or(usize::MAX);
            match first.downcast_object_ref::<Compiled>() {
                Some(pattern) => list(state, pattern.split(text_value).take(limit).map(Value::from))?,
                None if first.is_undefined() => list(state, [value.clone()])?,
                None => match first_text()?.as_str() {
                    "" => list(state, text_value.chars().take(limit).map(Value::from))?,
                    separator => list(state, text_value.split(separator).take(limit).map(Value::from))?,
                },
            }
        }
        "replace" => replace(state, value, &first, &argument(1), false)?,
        "replaceAll" => replace(state, value, &first, &argument(1), true)?,
        "toLowerCase" | "toLocaleLowerCase" => text_value.to_lowercase().into(),
        "toUpperCase" | "toLocaleUpperCase" => text_value.to_uppercase().into(),
        "trim" => text_value.trim().into(),
        "trimStart" => text_value.trim_start().into(),
        "trimEnd" => text_value.trim_end().into(),
        "toString" => value.clone(),
        "includes" => text_value.contains(&first_text()?).into(),
        "startsWith" => text_value.starts_with(&first_text()?).into(),
        "endsWith" => text_value.ends_with(&first_text()?).into(),
        "match" => match first.downcast_object_ref::<Compiled>() {
            Some(pattern) => pattern.matches(state, text_value)?,
            None => {
                let message = "`.match()` takes a regular expression: `r/…/`";
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        },
        "indexOf" => {
            let found = text_value.find(&first_text()?);
            let before = found.and_then(|at| text_value.get(..at));
            before.map_or(Value::from(-1), |before| before.encode_utf16().count().into())
        }
        "concat" => format!("{text_value}{}", first_text()?).into(),
        "slice" | "substring" => {
            let (start, end) = range(text_value.chars().count(), &first, &argument(1));
            text_value.chars().skip(start).take(end - start).collect::<String>().into()
        }
        _ => return Err(unknown(value, name)),
    })
}

fn method_of_list(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    argument: impl Fn(usize) -> Value,
) -> Result<Value, Error> {
    let first = argument(0);
    let position = || -> Result<Option<usize>, Error> {
        for (position, item) in value.try_iter()?.enumerate() {
            if is_equal(state, &item, &first)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    };
    Ok(match name {
        "join" => {
            let separator = if first.is_undefined() { ",".to_owned() } else { text(state, &first)? };
            join(state, value.clone(), Some(separator), None)?.into()
        }
        "includes" => position()?.is_some().into(),
        "indexOf" => position()?.map_or(Value::from(-1), Value::from),
        "concat" => list(state, value.try_iter()?.chain(first.try_iter()?))?,
        "reverse" => list(state, items(state, value)?.into_iter().rev())?,
        "slice" => {
            let items = items(state, value)?;
            let (start, end) = range(items.len(), &first, &argument(1));
            list(state, items.get(start..end).unwrap_or_default().iter().cloned())?
        }
        "toString" => text(state, value)?.into(),
        _ => return Err(unknown(value, name)),
    })
}

/// The bounds of `slice`: negative ones count from the end.
fn range(length: usize, start: &Value, end: &Value) -> (usize, usize) {
    let bound = |value: &Value, default: usize| match value.as_i64() {
        Some(at) if at < 0 => length.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
        Some(at) => usize::try_from(at).unwrap_or(usize::MAX).min(length),
        None => default,
    };
    let (start, end) = (bound(start, 0), bound(end, length));
    (start, end.max(start))
}
