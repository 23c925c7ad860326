import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "..", "dump_to_path.py"), run_name="__main__")
