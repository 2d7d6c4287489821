"""What is read may hold data, never code: no pickle and nothing else that runs what it reads. From the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module

import prefect

from tests.test_imports import ROOT, TREES

# Libraries whose files are code to whoever reads them; an error of theirs may be caught.
_LIBRARIES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
_HARMLESS = {"UnpicklingError"}
# Functions that do so unless they are told otherwise, and what tells them.
_TOLD = {"torch.load": "weights_only=True"}
_NEVER = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle"}
# Options that let a harmless function do so.
_OPTIONS = {"allow_pickle=True", "weights_only=False", "trust_remote_code=True"}


def unsafe(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in _LIBRARIES)
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] in _LIBRARIES:
                yield from (f"{module}.{alias.name}" for alias in names if alias.name not in _HARMLESS)
            case ast.Call(func=func, keywords=keywords):
                name, given = ast.unparse(func), {ast.unparse(keyword) for keyword in keywords}
                if name in _NEVER or (name in _TOLD and _TOLD[name] not in given):
                    yield name
                yield from given & _OPTIONS


def test_the_reader_of_trees_sees_what_runs_what_it_reads() -> None:
    tree = ast.parse(
        "import pickle, numpy\nfrom joblib import load\nfrom pickle import UnpicklingError\ntorch.load(path)\n"
        "torch.load(path, weights_only=True)\nnp.load(path, allow_pickle=True)\nnp.load(path)\neval(text)\nnet.eval()"
    )
    assert sorted(unsafe(tree)) == ["allow_pickle=True", "eval", "joblib.load", "pickle", "torch.load"]


def test_nothing_read_is_run() -> None:
    assert {str(name): found for name, tree in TREES.items() if (found := sorted(unsafe(tree)))} == {}


def test_no_flow_or_task_keeps_its_result_which_prefect_would_unpickle() -> None:
    modules = [import_module(f"flows.{path.stem}") for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"]
    values = (one for each in modules for one in vars(each).values())
    made = {one.name: one for one in values if isinstance(one, prefect.Flow | prefect.Task)}
    assert {"pipeline", "fetch"} <= set(made)
    assert [name for name, one in made.items() if one.persist_result is not False] == []
