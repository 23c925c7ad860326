"""datapackage-pipelines 1.7.1 and what it needs take abstract classes from `collections`, where Python 3.10 has none."""
import collections
import collections.abc

for name in ("Callable", "Iterable", "Mapping", "MutableMapping", "MutableSet", "Sequence"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
