//! Filters, functions and methods of Nunjucks and JavaScript whose results differ from minijinja's.

use super::pattern::Compiled;
use super::prepare::PAIRS;
use super::values::{LONGEST_TEXT, json, list, text, too_large};
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde::Serialize;

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
    environment.add_filter("replace", |value: Value, old: Value, new: Value| replace(&value, &old, &new, true));
    environment.add_filter("select", select);
    environment.add_filter("string", |value: Value| text(&value));
    environment.add_filter("urlencode", urlencode);
    environment.add_test("truthy", |value: Value| value.is_true());
    environment.add_test("falsy", |value: Value| !value.is_true());
    environment.add_test("null", |value: Value| value.is_none());
    environment.add_function(PAIRS, pairs);
    environment.remove_global("debug");
    environment.set_unknown_method_callback(|_, value, name, arguments| method(value, name, arguments));
}

/// `JSON.stringify`.
fn dump(value: Value, spaces: Option<u32>) -> Result<Value, Error> {
    /// The most that JavaScript indents.
    const MOST_SPACES: u32 = 10;
    let Some(json) = json(&value)? else { return Ok(Value::UNDEFINED) };
    let indent = b" ".repeat(spaces.unwrap_or_default().min(MOST_SPACES) as usize);
    let mut bytes = Vec::new();
    let written = match indent.is_empty() {
        true => serde_json::to_writer(&mut bytes, &json),
        false => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    if written.is_err() || bytes.len() > LONGEST_TEXT {
        return Err(too_large());
    }
    Ok(Value::from(String::from_utf8(bytes).unwrap_or_default()))
}

fn default(value: Value, other: Option<Value>, is_for_false: Option<bool>) -> Value {
    let is_absent = value.is_undefined() || is_for_false == Some(true) && !value.is_true();
    if is_absent { other.unwrap_or_default() } else { value }
}

fn indent(value: Value, width: Option<usize>, is_first_indented: Option<bool>) -> Result<String, Error> {
    let (text, width) = (text(&value)?, width.unwrap_or(4));
    let added = width.saturating_mul(text.matches('\n').count() + 1);
    if added.saturating_add(text.len()) > LONGEST_TEXT {
        return Err(too_large());
    }
    let spaces = " ".repeat(width);
    let first = if is_first_indented == Some(true) && !text.is_empty() { spaces.as_str() } else { "" };
    Ok(format!("{first}{}", text.replace('\n', &format!("\n{spaces}"))))
}

/// `parseInt`: the digits at the beginning.
fn int(value: Value, default: Option<Value>) -> Result<Value, Error> {
    let text = text(&value)?;
    let trimmed = text.trim_start();
    let digits = trimmed.trim_start_matches(['-', '+']);
    let sign = trimmed.len() - digits.len();
    let length = digits.len() - digits.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let number = trimmed.get(..sign + length).and_then(|number| number.parse::<i64>().ok());
    Ok(number.map_or(default.unwrap_or_default(), Value::from))
}

fn join(value: Value, separator: Option<String>, attribute: Option<String>) -> Result<String, Error> {
    let (separator, mut result) = (separator.unwrap_or_default(), String::new());
    for (position, item) in value.try_iter()?.enumerate() {
        if position > 0 {
            result.push_str(&separator);
        }
        match &attribute {
            Some(name) => result.push_str(&text(&item.get_attr(name)?)?),
            None => result.push_str(&text(&item)?),
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
fn list_of(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(list(value.as_str().unwrap_or_default().chars().map(Value::from))),
        ValueKind::Map => {
            let pair = |key: Value| {
                let item = value.get_item(&key)?;
                Ok(Value::from_pairs([("key", key), ("value", item)]))
            };
            Ok(list(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?))
        }
        _ => Ok(list(value.try_iter()?)),
    }
}

/// The items of `for key, value in …`.
fn pairs(value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Ok(value);
    }
    let pair = |key: Value| Ok(list([key.clone(), value.get_item(&key)?]));
    Ok(list(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?))
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
    Ok(list(kept))
}

/// Replaces a text, or the matches of a regular expression. Other values than texts and numbers stay.
fn replace(value: &Value, old: &Value, new: &Value, is_everywhere: bool) -> Result<Value, Error> {
    if !matches!(value.kind(), ValueKind::String | ValueKind::Number) {
        return Ok(value.clone());
    }
    let (from, new) = (text(value)?, text(new)?);
    if let Some(pattern) = old.downcast_object_ref::<Compiled>() {
        return pattern.replace(&from, &new).map(Value::from);
    }
    let old = text(old)?;
    if !is_everywhere {
        return Ok(from.replacen(&old, &new, 1).into());
    }
    let added = from.matches(&old).count().saturating_mul(new.len());
    if added.saturating_add(from.len()) > LONGEST_TEXT {
        return Err(too_large());
    }
    Ok(from.replace(&old, &new).into())
}

/// `encodeURIComponent`, of a text or of each pair.
fn urlencode(value: Value) -> Result<String, Error> {
    let pair = |key: &Value, item: &Value| Ok(format!("{}={}", encoded(&text(key)?), encoded(&text(item)?)));
    match value.kind() {
        ValueKind::Map => {
            let all = value.try_iter()?.map(|key| pair(&key, &value.get_item(&key)?));
            Ok(all.collect::<Result<Vec<_>, Error>>()?.join("&"))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let all = value.try_iter()?.map(|item| pair(&item.get_item_by_index(0)?, &item.get_item_by_index(1)?));
            Ok(all.collect::<Result<Vec<_>, Error>>()?.join("&"))
        }
        _ => Ok(encoded(&text(&value)?)),
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A method of a text or a list in JavaScript.
fn method(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let argument = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    match value.kind() {
        ValueKind::String => method_of_text(value.as_str().unwrap_or_default(), value, name, argument),
        ValueKind::Seq | ValueKind::Iterable => method_of_list(value, name, argument),
        _ if name == "toString" => text(value).map(Value::from),
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
    text_value: &str,
    value: &Value,
    name: &str,
    argument: impl Fn(usize) -> Value,
) -> Result<Value, Error> {
    let first = argument(0);
    let first_text = || text(&first);
    Ok(match name {
        "split" => {
            let limit = argument(1).as_usize().unwrap_or(usize::MAX);
            let parts: Vec<Value> = match first.downcast_object_ref::<Compiled>() {
                Some(pattern) => pattern.split(text_value).into_iter().take(limit).map(Value::from).collect(),
                None if first.is_undefined() => vec![value.clone()],
                None => match first_text()?.as_str() {
                    "" => text_value.chars().take(limit).map(Value::from).collect(),
                    separator => text_value.split(separator).take(limit).map(Value::from).collect(),
                },
            };
            list(parts)
        }
        "replace" => replace(value, &first, &argument(1), false)?,
        "replaceAll" => replace(value, &first, &argument(1), true)?,
        "toLowerCase" => text_value.to_lowercase().into(),
        "toUpperCase" => text_value.to_uppercase().into(),
        "trim" => text_value.trim().into(),
        "trimStart" => text_value.trim_start().into(),
        "trimEnd" => text_value.trim_end().into(),
        "toString" => value.clone(),
        "includes" => text_value.contains(&first_text()?).into(),
        "startsWith" => text_value.starts_with(&first_text()?).into(),
        "endsWith" => text_value.ends_with(&first_text()?).into(),
        "match" => first.downcast_object_ref::<Compiled>().is_some_and(|pattern| pattern.is_match(text_value)).into(),
        "indexOf" => {
            let found = text_value.find(&first_text()?);
            let before = found.and_then(|at| text_value.get(..at));
            before.map_or(Value::from(-1), |before| before.encode_utf16().count().into())
        }
        "concat" => format!("{text_value}{}", first_text()?).into(),
        "slice" | "substring" => {
            let chars: Vec<char> = text_value.chars().collect();
            let (start, end) = range(chars.len(), &first, &argument(1));
            chars.get(start..end).unwrap_or_default().iter().collect::<String>().into()
        }
        _ => return Err(unknown(value, name)),
    })
}

fn method_of_list(value: &Value, name: &str, argument: impl Fn(usize) -> Value) -> Result<Value, Error> {
    let items = || value.try_iter().map(|items| items.collect::<Vec<Value>>());
    let first = argument(0);
    Ok(match name {
        "join" => {
            let separator = if first.is_undefined() { ",".to_owned() } else { text(&first)? };
            join(value.clone(), Some(separator), None)?.into()
        }
        "includes" => items()?.contains(&first).into(),
        "indexOf" => items()?.iter().position(|item| *item == first).map_or(Value::from(-1), Value::from),
        "concat" => list(items()?.into_iter().chain(first.try_iter()?)),
        "reverse" => list(items()?.into_iter().rev()),
        "slice" => {
            let items = items()?;
            let (start, end) = range(items.len(), &first, &argument(1));
            list(items.get(start..end).unwrap_or_default().iter().cloned())
        }
        "toString" => text(value)?.into(),
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
