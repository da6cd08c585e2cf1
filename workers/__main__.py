"""``python -P -m workers worker -Q infer``: Celery on this application.

``celery -A workers.app`` looks in the working folder first; ``up`` starts its workers so instead.
"""

import sys

from workers.app import app

if __name__ == "__main__":
    sys.exit(app.start(sys.argv[1:]))
