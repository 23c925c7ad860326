//! SQL that is the same in every database.

/// The outputs of a component without outputs.
pub(crate) const NO_OUTPUTS: &str = "{}";

/// True if the state has ever been used, in every format.
pub(crate) const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM stack) OR EXISTS (SELECT 1 FROM operation)";

/// The tables with rows of an operation, in the order of their removal.
pub(crate) const TABLES_OF_OPERATION: [&str; 6] =
    ["log", "step", "request_key", "request_death", "request", "operation_stack"];

/// True for a request whose caller has fewer running requests than its maximum.
pub(crate) const IS_WITHIN_QUOTA: &str = "
    (request.most_running IS NULL OR request.most_running > (
        SELECT count(*) FROM request AS own
        WHERE own.caller = request.caller AND own.result IS NULL AND own.holder IS NOT NULL))";

/// True for a request that no other must precede. Of two requests for the same component, the earlier one runs first. A
/// request for the whole stack concerns all its components. `end` ends each subquery.
pub(crate) fn is_first(end: &str) -> String {
    let has_earlier = |condition: &str| {
        format!(
            "EXISTS (SELECT 1 FROM request AS earlier
                     WHERE earlier.result IS NULL AND earlier.stack = request.stack{condition}
                       AND earlier.operation < request.operation{end})"
        )
    };
    format!(
        "NOT {} AND NOT {} AND (request.component <> '' OR NOT {})",
        has_earlier(" AND earlier.component = request.component"),
        has_earlier(" AND earlier.component = ''"),
        has_earlier("")
    )
}

/// Finds the entry up to which a batch of the audit log is pruned: the last of the first entries that is older than a
/// moment. Its parameters are the largest number, the size of the batch and the moment.
pub(crate) const LAST_AUDIT_ENTRY_TO_PRUNE: &str =
    "WITH batch AS (SELECT number, at, hash FROM audit WHERE number <= $1 ORDER BY number LIMIT $2)
     SELECT number, hash FROM batch
     WHERE number < coalesce((SELECT min(number) FROM batch WHERE at >= $3), 9223372036854775807)
     ORDER BY number DESC LIMIT 1";

/// The stacks that the state has ever had. The table `stack` also has stacks that were only queried.
pub(crate) const KNOWN_STACKS: &str = "SELECT name, environment FROM stack
     WHERE EXISTS (SELECT 1 FROM version WHERE version.stack = stack.id)
        OR EXISTS (SELECT 1 FROM component_version WHERE component_version.stack = stack.id)
        OR EXISTS (SELECT 1 FROM component WHERE component.stack = stack.id)
        OR EXISTS (SELECT 1 FROM intent WHERE intent.stack = stack.id)
        OR EXISTS (SELECT 1 FROM owner WHERE owner.stack = stack.id)
     ORDER BY name, environment";

/// The content columns of `version` and `intent`, in the order of `columns::fill_content`.
macro_rules! content_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".status, ",
            $table,
            ".provider, ",
            $table,
            ".provider_version, ",
            $table,
            ".schema_version, ",
            $table,
            ".identity, ",
            $table,
            ".attributes, ",
            $table,
            ".private, ",
            $table,
            ".dependencies, ",
            $table,
            ".lifecycle"
        )
    };
}
pub(crate) use content_columns;
