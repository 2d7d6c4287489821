"""Who may import whom; read from the syntax trees, so an import inside a function counts too."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"facemill", "flows", "tasks", "model", "storage", "synthetic", "stats"}
FILES = {path.relative_to(ROOT): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in FILES.items()}

MAY_IMPORT = {
    "facemill": {"flows", "model", "storage"},
    "flows": {"flows", "tasks", "model", "storage", "synthetic", "stats"},
    "tasks": {"tasks", "storage", "stats"},
    "model": {"model", "storage", "stats"},
    "synthetic": {"synthetic", "storage"},
    "storage": {"storage"},
    "stats": {"stats"},
}
# The rooms in their order: none imports one that comes after it.
ROOMS = {
    "storage": ["text", "files", "tables", "stamps", "leases", "versions"],
    "tasks": ["images", "web", "links", "fetch", "faces", "label_noise", "dataset", "maintenance"],
    "model": [
        "devices",
        "configuration",
        "backbones",
        "losses",
        "embedding",
        "verification",
        "versions",
        "training",
        "compare",
    ],
}
# What is heavy, or ties code to one way of running it, has few homes.
HOMES = {
    "torch": ["model/**/*.py", "tasks/faces/detectors/*.py"],
    "torchvision": ["model/**/*.py", "tasks/faces/detectors/*.py"],
    "facenet_pytorch": ["tasks/faces/detectors/*.py", "model/versions/embedders.py"],
    "aiohttp": ["tasks/web/*.py", "tasks/links/link_server.py", "synthetic/*.py"],
    "onnx": [
        "model/versions/onnx_export.py",
        "model/versions/external_data.py",
        "tasks/faces/methods/centerface.py",
        "tasks/faces/detectors/*.py",
    ],
    "onnxruntime": [
        "model/versions/onnx_session.py",
        "tasks/faces/methods/centerface.py",
        "tasks/faces/detectors/on_cpu.py",
    ],
    "prefect": ["flows/**/*.py"],
}


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level packages a file imports, also by `import_module("...")`; a relative import counts as "."."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.split(".")[0] for alias in names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module.split(".")[0]
            case ast.ImportFrom():
                yield "."
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(module)), *_]
            ):
                if name in {"import_module", "__import__"}:
                    yield module.split(".")[0]


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """The modules a file imports, and the names it imports from them."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)


def test_the_reader_of_imports_sees_them_all():
    tree = ast.parse(
        "import a.b, c\ndef f():\n    from d.e import g\nfrom . import h\nload.import_module('i.j')\n__import__('k')"
    )
    assert sorted(imported(tree)) == [".", "a", "c", "d", "i", "k"]


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_imports_only_those_below_it(package):
    wrong = [
        f"{name} imports {other}"
        for name, tree in TREES.items()
        if name.parts[0] == package
        for other in imported(tree)
        if other in (PACKAGES | {"tests", "bench"}) - MAY_IMPORT[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_a_room_imports_none_that_comes_after_it(package):
    rooms = ROOMS[package]
    assert {path.name for path in (ROOT / package).iterdir() if path.is_dir()} - {"__pycache__"} == set(rooms)
    back = [
        f"{name} imports {module}"
        for name, tree in TREES.items()
        if name.parts[0] == package and len(name.parts) > 2
        for module in imported_modules(tree)
        if module.startswith(f"{package}.")
        and module.split(".")[1] in rooms
        and rooms.index(module.split(".")[1]) > rooms.index(name.parts[1])
    ]
    assert back == []


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def test_no_files_import_each_other_in_a_circle():
    modules = {module_of(name) for name in TREES}
    graph = {
        module_of(name): {
            module if module in modules else module.rpartition(".")[0]
            for module in imported_modules(tree)
            if module in modules or module.rpartition(".")[0] in modules
        }
        - {module_of(name)}
        for name, tree in TREES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files


def test_no_two_files_bear_one_name():
    names = Counter(name.name for name in TREES if not name.name.startswith("__"))
    assert [name for name, num in names.items() if num > 1] == []


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_only_where_it_is_at_home(library):
    homes = {path for pattern in HOMES[library] for path in ROOT.glob(pattern)}
    users = {FILES[name] for name, tree in TREES.items() if library in imported(tree)}

    assert users - homes == set()


def test_model_is_imported_without_what_a_machine_kept_for_training_may_lack():
    at_once = {
        library
        for name, tree in TREES.items()
        if name.parts[0] in {"model", "storage", "stats"}
        for library in imported(ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef)], []))
    }
    assert at_once & {"onnx", "onnxruntime", "onnxscript", "facenet_pytorch", "prefect"} == set()


def test_imports_are_absolute():
    assert [str(name) for name, tree in TREES.items() if "." in imported(tree)] == []


def test_only_the_command_line_prints():
    printing = {
        name.as_posix()
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing - {"flows/cli/app.py"} == set()


def test_every_prefect_task_is_on_one_page_and_states_its_options():
    makers = {
        name.as_posix()
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("prefect", "flows.runs.engine"))
        for alias in node.names
        if alias.name in {"task", "Task"}
    }
    assert makers == {"flows/tasks.py"}

    functions = [
        node
        for node in ast.walk(TREES[Path("flows/tasks.py")])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    decorators = {node.name: node.decorator_list for node in functions if node.name.endswith("_task")}
    assert {
        "links_task",
        "fetch_task",
        "crop_task",
        "publish_task",
        "clean_task",
        "train_task",
        "evaluate_task",
    } <= set(decorators)
    for name, (decorator,) in decorators.items():
        assert isinstance(decorator, ast.Call), name
        stated = {word.arg for word in decorator.keywords}
        assert stated >= {"name", "task_run_name", "retries", "tags"}, name
