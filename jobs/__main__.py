"""What spark-submit runs: `spark-submit … jobs/__main__.py JOB [job options]`."""

import sys

from jobs import all_jobs
from lib.runtime.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], all_jobs))
