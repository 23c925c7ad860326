//! Readiness by an expression of the descriptor, in CEL over the object: `object.status.phase == 'Running'`.
//!
//! The language is that of validation rules in Kubernetes: <https://kubernetes.io/docs/reference/using-api/cel/>.

use super::Readiness;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, ExecutionError, Program, Value};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

/// The variable that holds the object.
const OBJECT: &str = "object";
/// The longest text, in bytes.
const LONGEST: usize = 1_000;
/// The deepest nesting of brackets.
const DEEPEST: usize = 20;
/// Stack for the parser and the interpreter, which recurse: enough for the deepest text of these limits in a debug
/// build. The system allocates only the part that is used.
const STACK: usize = 64 << 20;

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) struct Expression(Arc<Program>);

impl Expression {
    /// Compiles a text.
    ///
    /// # Errors
    /// With a message if the text is not an expression over `object`, or exceeds a limit.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("the expression has more than {LONGEST} bytes"));
        }
        if nesting(text) > DEEPEST {
            return Err(format!("the expression nests brackets deeper than {DEEPEST} levels"));
        }
        let text = text.to_owned();
        let compile = move || {
            let program = Program::compile(&text).map_err(|errors| errors.to_string())?;
            check(program.expression(), &mut vec![OBJECT.to_owned()], false)?;
            Ok(Self(Arc::new(program)))
        };
        let thread = thread::Builder::new().stack_size(STACK).spawn(compile);
        thread
            .and_then(|thread| thread.join().map_err(|_| std::io::Error::other("the parser failed")))
            .unwrap_or_else(|error| Err(format!("the expression cannot be compiled: {error}")))
    }

    /// The readiness of an object. A missing field means that the object is not ready yet.
    pub(crate) async fn readiness(&self, object: &Json) -> Readiness {
        let (program, object) = (Arc::clone(&self.0), value(object));
        let (send, receive) = tokio::sync::oneshot::channel();
        let evaluate = move || {
            let mut context = Context::default();
            context.add_variable_from_value(OBJECT, object);
            // The receiver is gone if its call has ended.
            let _ = send.send(judge(program.execute(&context)));
        };
        let started = thread::Builder::new().stack_size(STACK).spawn(evaluate);
        match (started, receive.await) {
            (Ok(_), Ok(readiness)) => readiness,
            (Err(error), _) => Readiness::Waiting(format!("the expression cannot be evaluated: {error}")),
            (Ok(_), Err(_)) => Readiness::Failed("the expression cannot be evaluated".to_owned()),
        }
    }
}

/// The readiness that a result means. Messages have no values of the object, which may be secret.
fn judge(result: Result<Value, ExecutionError>) -> Readiness {
    match result {
        Ok(Value::Bool(true)) => Readiness::Ready,
        Ok(Value::Bool(false)) => Readiness::Waiting("`readyWhen` is false".to_owned()),
        Ok(_) => Readiness::Failed("`readyWhen` is neither true nor false".to_owned()),
        Err(ExecutionError::NoSuchKey(key)) => Readiness::Waiting(format!("`{key}` of `readyWhen` does not exist yet")),
        Err(ExecutionError::UndeclaredReference(name)) => {
            Readiness::Failed(format!("`readyWhen` calls the unknown function `{name}`"))
        }
        Err(ExecutionError::NoSuchOverload(overload)) => Readiness::Waiting(format!(
            "`readyWhen` has a value of another type: `{}` of {}",
            overload.function(),
            overload.argument_types().join(", ")
        )),
        Err(ExecutionError::UnsupportedBinaryOperator(operator, one, other)) => Readiness::Waiting(format!(
            "`readyWhen` has a value of another type: `{operator}` of {}, {}",
            one.type_of(),
            other.type_of()
        )),
        Err(_) => Readiness::Waiting("`readyWhen` has no result for the present object".to_owned()),
    }
}

/// The greatest number of open brackets; those in texts count, too.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Refuses other variables than those of `known`, and loops within loops, whose cost has no limit.
fn check(node: &IdedExpr, known: &mut Vec<String>, is_in_loop: bool) -> Result<(), String> {
    match &node.expr {
        Expr::Unspecified | Expr::Literal(_) => Ok(()),
        Expr::Ident(name) if name.starts_with('@') || known.contains(name) => Ok(()),
        Expr::Ident(name) => Err(format!("unknown variable `{name}`: the object is `{OBJECT}`")),
        Expr::Call(call) => {
            let mut parts = call.target.as_deref().into_iter().chain(&call.args);
            parts.try_for_each(|part| check(part, known, is_in_loop))
        }
        Expr::List(list) => list.elements.iter().try_for_each(|element| check(element, known, is_in_loop)),
        Expr::Select(select) => check(&select.operand, known, is_in_loop),
        Expr::Map(cel::common::ast::MapExpr { entries })
        | Expr::Struct(cel::common::ast::StructExpr { entries, .. }) => {
            for entry in entries {
                match &entry.expr {
                    EntryExpr::StructField(field) => check(&field.value, known, is_in_loop)?,
                    EntryExpr::MapEntry(entry) => {
                        check(&entry.key, known, is_in_loop)?;
                        check(&entry.value, known, is_in_loop)?;
                    }
                }
            }
            Ok(())
        }
        Expr::Comprehension(_) if is_in_loop => Err("a loop within a loop is not supported".to_owned()),
        Expr::Comprehension(it) => {
            check(&it.iter_range, known, true)?;
            check(&it.accu_init, known, true)?;
            let outer = known.len();
            known.push(it.iter_var.clone());
            known.extend(it.iter_var2.clone());
            known.push(it.accu_var.clone());
            let body = [&it.loop_cond, &it.loop_step, &it.result];
            let checked = body.into_iter().try_for_each(|part| check(part, known, true));
            known.truncate(outer);
            checked
        }
    }
}

/// A value of an object. All whole numbers are of the type `int`, as in Kubernetes.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, number) => Value::Float(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(entries) => {
            Value::from(entries.iter().map(|(key, it)| (key.clone(), value(it))).collect::<HashMap<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn of(text: &str) -> Readiness {
        let object = json!({"metadata": {"generation": 2, "labels": {"a.b/c": "x"}}, "status": {"phase": "Running", "share": 0.5,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "False"}]}});
        Expression::compile(text).unwrap().readiness(&object).await
    }

    #[tokio::test]
    async fn object_is_ready_when_the_expression_is_true() {
        for text in [
            "object.status.phase == 'Running' && object.metadata.generation == 2 && object.metadata.generation - 3 == -1",
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "object.status.conditions.filter(c, c.status == 'True').size() == 1 && has(object.status.share)",
            "object.metadata.labels['a.b/c'].matches('^[xy]$') && object.status.share < 1.0",
            "'a' in {'a': object.status.phase}",
        ] {
            assert_eq!(of(text).await, Readiness::Ready, "{text}");
        }
    }

    #[tokio::test]
    async fn object_is_not_ready_while_the_expression_is_false_or_lacks_a_field() {
        let waiting = |why: &str| Readiness::Waiting(why.to_owned());
        assert_eq!(of("object.status.phase == 'Gone'").await, waiting("`readyWhen` is false"));
        assert_eq!(of("object.status.replicas == 3").await, waiting("`replicas` of `readyWhen` does not exist yet"));
        let Readiness::Waiting(why) = of("object.status.phase + 1 == 2").await else { panic!("it has no value") };
        assert!(why.contains("another type") && !why.contains("Running"), "{why}");
    }

    #[tokio::test]
    async fn expression_that_can_never_be_true_fails_the_wait() {
        assert!(matches!(of("object.status.phase").await, Readiness::Failed(_)));
        let Readiness::Failed(why) = of("phase_of(object)").await else { panic!("the function exists") };
        assert!(why.contains("`phase_of`"), "{why}");
    }

    #[test]
    fn wrong_expressions_are_refused() {
        let refused = |text: &str| Expression::compile(text).unwrap_err();
        assert!(refused("object.status ==").contains("ERROR"), "{}", refused("object.status =="));
        assert_eq!(refused("self.status.ok"), "unknown variable `self`: the object is `object`");
        assert_eq!(refused("object.a.all(x, object.a.all(y, x == y))"), "a loop within a loop is not supported");
        assert_eq!(refused("object.a.map(x, x).filter(y, y)"), "a loop within a loop is not supported");
        assert!(Expression::compile("object.a.all(x, x) && object.b.all(x, x)").is_ok());
        assert!(refused("object.a.all(x, x) && x").contains("`x`"));
    }

    #[test]
    fn deep_texts_do_not_exhaust_the_stack() {
        assert!(Expression::compile(&"(".repeat(900)).is_err());
        for text in [
            format!("{}true", "!".repeat(990)),
            format!("{}1", "-".repeat(990)),
            format!("object{}", ".a".repeat(490)),
            format!("1{}", "+1".repeat(490)),
            format!("{}true", "true?".repeat(190)),
            format!("{}object{}", "(".repeat(DEEPEST), ")".repeat(DEEPEST)),
            format!("true{}", "||true".repeat(150)),
        ] {
            // Either answer is right.
            let _ = Expression::compile(&text);
        }
        assert!(Expression::compile(&"a".repeat(LONGEST + 1)).is_err());
    }
}
