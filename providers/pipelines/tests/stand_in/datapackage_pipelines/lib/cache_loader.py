import gzip
import shutil
import sys
from datapackage_pipelines.wrapper import ingest

parameters, _, _ = ingest()
shutil.copyfileobj(gzip.open(parameters["load-from"], "rt"), sys.stdout)
