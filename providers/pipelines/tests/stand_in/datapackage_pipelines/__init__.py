"""The little of datapackage-pipelines that tests of its starter need, without any package but Python's own."""
