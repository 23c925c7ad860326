-- Which caller asked for a request, where callers have a share of the queue, and how many of its requests may be worked on
-- at once.
ALTER TABLE request ADD COLUMN caller TEXT;
ALTER TABLE request ADD COLUMN most_running INTEGER;
CREATE INDEX request_of_caller ON request (caller) WHERE result IS NULL AND caller IS NOT NULL;
