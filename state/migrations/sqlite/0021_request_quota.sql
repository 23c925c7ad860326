-- The caller of a request, if callers have a quota, and the caller's maximum of running requests.
ALTER TABLE request ADD COLUMN caller TEXT;
ALTER TABLE request ADD COLUMN most_running INTEGER;
CREATE INDEX request_of_caller ON request (caller) WHERE result IS NULL AND caller IS NOT NULL;
