import subprocess
import sys

import pytest

MODULES = [
    "service.app",
    "service.listener",
    "service.reconciler",
    "service.serve",
    "service.process",
    "service.worker_process",
    "worker.tasks",
    "worker.heartbeat",
    "worker.delivery",
]


def test_no_part_but_the_computing_process_imports_torch():
    """In particular the Celery parent: torch computing before a fork hangs the child for ever."""
    code = (
        f"import sys, importlib\nfor name in {MODULES}:\n    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "    assert not any(each == 'models' or each.startswith('models.') for each in sys.modules), name"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["sqlalchemy", "fastapi", "alembic"])
def test_worker_knows_no_database_and_no_http(name):
    code = f"import sys, worker.tasks, worker.delivery, worker.heartbeat; assert {name!r} not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
