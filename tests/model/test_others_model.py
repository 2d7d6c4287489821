"""A model version from somebody else: it reads no file but its own, and what is wrong with it is one line."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from model.configuration.config import TrainConfig, config_of
from model.configuration.ranges import SETTINGS
from model.versions.external_data import refuse_external_data
from model.versions.face_model import FaceModel
from model.versions.version import load_backbone
from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import bytes_digest
from storage.versions.models import ModelFolder, open_model
from tasks.maintenance.fsck.check_versions import check_model
from tasks.maintenance.fsck.findings import Kind

SECRET = b"\x00\x00\x80?" * 16
DEEP = b'{"a":' * 100_000


@pytest.fixture
def folder(trained: Any, tmp_path: Path) -> Path:
    """A version in a lake of its own, to damage."""
    path = tmp_path / "lake" / "models" / "tiny" / trained.version
    shutil.copytree(trained.url, path)
    (tmp_path / "lake" / "lake.json").write_text('{"format": 1}')
    return path


def reseal(folder: Path, **files: bytes) -> None:
    """Replace files, and let the manifest bear their digests, as somebody who makes a version can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, data in files.items():
        file = {"config": "config.json", "weights": "weights.safetensors", "onnx": "model.onnx"}.get(
            name, f"{name}.json"
        )
        (folder / file).write_bytes(data)
        manifest["files"][file] = bytes_digest(data).hex()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def one_line(error: pytest.ExceptionInfo[Exception], *words: str) -> None:
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    for word in words:
        assert word in str(error.value)


# -- ONNX --


def external(location: str = "secret.txt") -> TensorProto:
    """A tensor of four numbers that are said to lie in another file."""
    tensor = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph_of(nodes: list[onnx.NodeProto], initializers: list[TensorProto] = []) -> onnx.GraphProto:  # noqa: B006
    result = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [4])
    return helper.make_graph(nodes, "g", [], [result], initializers)


def as_initializer(location: str) -> onnx.ModelProto:
    identity = helper.make_node("Identity", ["stolen"], ["embeddings"])
    return helper.make_model(graph_of([identity], [external(location)]))


def as_attribute(location: str) -> onnx.ModelProto:
    return helper.make_model(graph_of([helper.make_node("Constant", [], ["embeddings"], value=external(location))]))


def as_attribute_list(location: str) -> onnx.ModelProto:
    node = helper.make_node("Custom", [], ["embeddings"])
    node.attribute.append(
        onnx.AttributeProto(name="all", type=onnx.AttributeProto.TENSORS, tensors=[external(location)])
    )
    return helper.make_model(graph_of([node]))


def as_subgraph(location: str) -> onnx.ModelProto:
    inner = as_attribute(location).graph
    node = helper.make_node("If", ["yes"], ["embeddings"], then_branch=inner, else_branch=inner)
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return helper.make_model(graph_of([node], [yes]))


def as_subgraph_twice(location: str) -> onnx.ModelProto:
    node = helper.make_node("If", ["yes"], ["embeddings"])
    node.attribute.append(
        onnx.AttributeProto(name="all", type=onnx.AttributeProto.GRAPHS, graphs=[as_subgraph(location).graph])
    )
    return helper.make_model(graph_of([node]))


def as_function(location: str) -> onnx.ModelProto:
    model = helper.make_model(graph_of([helper.make_node("F", [], ["embeddings"], domain="d")]))
    constant = helper.make_node("Constant", [], ["y"], value=external(location))
    model.functions.append(helper.make_function("d", "F", [], ["y"], [constant], [helper.make_opsetid("", 17)]))
    return model


def as_sparse(location: str) -> onnx.ModelProto:
    model = as_initializer(location)
    model.graph.initializer.pop()
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=external(location), dims=[4]))
    return model


def as_sparse_attribute(location: str) -> onnx.ModelProto:
    sparse = onnx.SparseTensorProto(indices=external(location), dims=[4])
    node = helper.make_node("Constant", [], ["embeddings"])
    node.attribute.append(
        onnx.AttributeProto(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse)
    )
    return helper.make_model(graph_of([node]))


def as_training(location: str) -> onnx.ModelProto:
    model = helper.make_model(graph_of([]))
    model.training_info.append(onnx.TrainingInfoProto(initialization=as_initializer(location).graph))
    return model


def without_the_flag(location: str) -> onnx.ModelProto:
    """The entries alone; the tensor does not say that it is external."""
    model = as_initializer(location)
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    return model


def with_the_flag_alone(location: str) -> onnx.ModelProto:
    model = as_initializer(location)
    del model.graph.initializer[0].external_data[:]
    return model


PLACES = [
    as_initializer, as_attribute, as_attribute_list, as_subgraph, as_subgraph_twice, as_function, as_sparse,
    as_sparse_attribute, as_training, without_the_flag, with_the_flag_alone,
]  # fmt: skip


@pytest.mark.attack(16)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_graph_with_numbers_in_another_file_is_refused(place: Callable[[str], onnx.ModelProto]) -> None:
    with pytest.raises(LakeError, match="in an external file, which is not allowed") as error:
        refuse_external_data(place("secret.txt").SerializeToString())
    one_line(error)


@pytest.mark.attack(16)
@pytest.mark.parametrize("location", ["secret.txt", "./secret.txt", "sub/../secret.txt", "*/_ORT_MEM_ADDR_/*"])
def test_a_model_folder_reads_nothing_of_the_working_folder(folder, tmp_path, monkeypatch, location) -> None:
    (tmp_path / "work" / "sub").mkdir(parents=True)
    (tmp_path / "work" / "secret.txt").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path / "work")
    reseal(folder, onnx=as_initializer(location).SerializeToString())
    for version in (ModelFolder(folder), open_model(Lake(tmp_path / "lake"), "tiny")):
        with pytest.raises(LakeError, match="in an external file"):
            FaceModel(version)


@pytest.mark.attack(16)
@pytest.mark.parametrize("data", [b"", b"no graph", b"\0\0\0\0ORTM" * 9, SECRET], ids=["empty", "text", "ort", "noise"])
def test_what_is_no_graph_is_one_line(folder, data) -> None:
    reseal(folder, onnx=data)
    with pytest.raises(LakeError, match=r"model\.onnx cannot be run") as error:
        FaceModel(ModelFolder(folder))
    one_line(error)


@pytest.mark.attack(17)
def test_a_graph_that_gives_something_else_is_one_line(folder, drawn) -> None:
    from model.embedding.data import load_faces

    constant = helper.make_tensor("c", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    graph = graph_of([helper.make_node("Identity", ["c"], ["embeddings"])], [constant])
    graph.input.append(helper.make_tensor_value_info("faces", TensorProto.UINT8, None))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    reseal(folder, onnx=model.SerializeToString())
    with pytest.raises(LakeError, match=r"must give float32 \[2, 32\]") as error:
        FaceModel(ModelFolder(folder)).embed(load_faces(drawn, "test", 32).images[:2])
    one_line(error)


# -- settings, weights, manifests --

NOT_OBJECTS = [b"", b"[]", b"null", b'"x"', b"\xff\xfe{}", b"{", DEEP, b"[" * 100_000, b"1" * 5000]


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_px", 1_000_000), ("image_px", -5), ("image_px", "x"), ("image_px", 33), ("image_px", 64.0),
        ("image_px", None), ("image_px", True), ("image_px", [32]), ("image_px", 10**400), ("embedding_dim", 10**9),
        ("embedding_dim", 0), ("width", float("nan")), ("width", float("inf")), ("width", 1e9), ("width", "1"),
        ("backbone", 5), ("mirror", "yes"), ("name", "../up"), ("extra", 1), ("steps", -1), ("seed", 2**70),
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_no_training_could_have_is_one_line(folder, field, value) -> None:
    settings = {**json.loads((folder / "config.json").read_text()), field: value}
    reseal(folder, config=json.dumps(settings).encode())
    for use in (FaceModel, load_backbone, config_of):
        with pytest.raises(LakeError) as error:
            use(ModelFolder(folder))
        one_line(error, "config.json", field)


@pytest.mark.attack(17)
@pytest.mark.parametrize("field", ["image_px", "embedding_dim", "backbone"])
def test_a_setting_that_is_missing_is_one_line(folder, field) -> None:
    settings = json.loads((folder / "config.json").read_text())
    del settings[field]
    reseal(folder, config=json.dumps(settings).encode())
    with pytest.raises(LakeError) as error:
        FaceModel(ModelFolder(folder))
    one_line(error, "config.json", field)


@pytest.mark.attack(17)
@pytest.mark.parametrize("data", NOT_OBJECTS, ids=lambda data: repr(data[:8]))
@pytest.mark.parametrize("name", ["config", "thresholds", "metrics", "history"])
def test_a_file_that_is_no_object_is_one_line(folder, name, data) -> None:
    reseal(folder, **{name: data})
    with pytest.raises(LakeError) as error:
        ModelFolder(folder).read_json(f"{name}.json")
    one_line(error, f"{name}.json")


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thresholds", {}), ("thresholds", {"accuracy": float("nan")}), ("metrics", {"trained": []}),
        ("metrics", {"trained": {"auc": "high"}, "untrained": {}}), ("history", {"intervals": [{}]}),
        ("metrics", {"trained": {"auc_interval": [1]}, "untrained": {}}),
    ],
    ids=str,
)  # fmt: skip
def test_a_file_of_another_shape_is_one_line(folder, name, value) -> None:
    reseal(folder, **{name: json.dumps(value).encode()})
    with pytest.raises(LakeError) as error:
        ModelFolder(folder).read_json(f"{name}.json")
    one_line(error, f"{name}.json", "must be")


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "data",
    [
        b"", b"short", b"\xff" * 64, struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 64) + b'{"w":{"dtype":"F32","shape":[999999999],"data_offsets":[0,4]}}'.ljust(64) + SECRET,
    ],
    ids=["empty", "short", "noise", "huge", "cut", "nothing", "null", "shape"],
)  # fmt: skip
def test_weights_that_are_none_are_one_line(folder, data) -> None:
    reseal(folder, weights=data)
    with pytest.raises(LakeError, match=r"weights\.safetensors does not match its config") as error:
        load_backbone(ModelFolder(folder))
    one_line(error)


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "data", [*NOT_OBJECTS, b"{}", b'{"name": 5, "files": {}}', b'{"name": "a"}'], ids=lambda d: repr(d[:9])
)
def test_a_manifest_that_is_none_is_one_line(folder, tmp_path, data) -> None:
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(LakeError) as error:
        ModelFolder(folder)
    one_line(error, "manifest.json")
    found = check_model(Lake(tmp_path / "lake"), "tiny", folder.name, quick=False)
    assert [one.kind for one in found] == [Kind.UNREADABLE]


@pytest.mark.attack(17)
@pytest.mark.parametrize("file", ["../../dev/zero", "/dev/zero", "..", "a/b", "a\nb", "", "x" * 300, ".hidden"])
def test_a_manifest_names_files_of_its_own_folder_only(folder, tmp_path, file) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][file] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LakeError, match="the name of a file is") as error:
        ModelFolder(folder)
    one_line(error)
    found = check_model(Lake(tmp_path / "lake"), "tiny", folder.name, quick=False)
    assert [one.kind for one in found] == [Kind.UNREADABLE]


@pytest.mark.attack(17)
def test_a_file_that_is_a_device_or_a_folder_is_not_read(folder) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("/dev/zero")
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    for file in ("weights.safetensors", "config.json"):
        with pytest.raises(LakeError, match="is not a regular file"):
            ModelFolder(folder).read(file)


def test_every_setting_of_a_training_has_a_shape() -> None:
    assert {name.removesuffix("?") for name in SETTINGS} == set(TrainConfig.__dataclass_fields__)


def test_a_folder_that_is_none_is_wrong_usage(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"manifest\.json is missing"):
        ModelFolder(tmp_path / "nowhere")
