-- The operations of a stack, newest first.
CREATE INDEX operation_of_stack ON operation_stack (stack, operation);
