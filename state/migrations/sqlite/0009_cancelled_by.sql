-- Who asked the operation to stop, which says that somebody did. From this format on its status may be `superseded`, too.

ALTER TABLE operation ADD COLUMN cancelled_by TEXT;
UPDATE operation SET cancelled_by = 'somebody' WHERE cancel_requested = 1;
ALTER TABLE operation DROP COLUMN cancel_requested;
