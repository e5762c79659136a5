"""Who does without torch, database and HTTP. import-linter does not see what a package's `__init__` pulls in."""

import subprocess
import sys

MODULES = [
    "service.cli",
    "service.physics",
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


def run(code):
    """In a fresh interpreter, one for all modules: the first that pulls something in is named."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_part_but_the_computing_process_imports_torch():
    """In particular the Celery parent: torch computing before a fork hangs the child for ever."""
    run(
        f"import sys, importlib\nfor name in {MODULES}:\n    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "    assert not any(each == 'models' or each.startswith('models.') for each in sys.modules), name"
    )


def test_worker_knows_no_database_and_no_http():
    run(
        "import sys, worker.tasks, worker.delivery, worker.heartbeat\n"
        "assert not {'sqlalchemy', 'fastapi', 'alembic'} & set(sys.modules)"
    )
