"""The part of datapackage-pipelines that tests of its starter need. It uses only the standard library."""
