"""Opening of the distillation teachers of a run: in torch, or in OpenVINO in a process of its own."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from levit.checkpoints.from_model import checkpoint_from_model
from levit.checkpoints.hashing import hash_file
from levit.data.class_matching import are_same_classes
from levit.data.imagenet_names import readable_names
from levit.data.labeled_images import LabeledDataset
from levit.deployment.build import build_artifact
from levit.errors import ConfigError, DataError, LevitWarning
from levit.model.pretrained import LevitPreTrainedModel
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_engine import choose_openvino_precision
from levit.spec.architecture import Grid
from levit.training.onnx_teacher import OnnxClassifier, is_onnx, open_onnx_classifier
from levit.training.option_groups import TeacherOptions
from levit.training.student import Student
from levit.training.teacher import (
    build_teacher,
    combine_teachers,
    load_teacher_network,
    match_teacher_classes,
    resize_preprocessing,
    teacher_source,
)
from levit.training.teacher_graph import ConversionError, write_onnx_graph, write_torch_graph
from levit.training.teacher_process import TeacherProcess
from levit.training.teacher_server import TeacherSettings
from levit.training.timm_networks import ClassificationNetwork
from levit.training.worker_count import processes_on_machine

_DATA_CLASSES = "use `teacher_classes=data`"
_ELEMENT_TYPES = {"bf16": "bf16", "fp32": "f32"}


class LoadedTeacher(NamedTuple):
    """Teacher before it is connected to a student.

    Attributes:
        name: its name in the options.
        network: its network with labels and preprocessing.
        weights_hash: hash of its weights, or of its ONNX file.
    """

    name: str
    network: ClassificationNetwork | OnnxClassifier
    weights_hash: str


def load_teachers(options: TeacherOptions) -> list[LoadedTeacher]:
    """Load the networks of all teachers; none without distillation.

    Raises:
        CheckpointError: weights cannot be read or downloaded.
        ConfigError: an ONNX file is to be computed by torch.
    """
    teachers = []
    for name in options.names:
        if is_onnx(name) and options.teacher_engine == "torch":
            raise ConfigError(f"is torch, and {name} is an ONNX file", source="teacher_engine", hint="use openvino")
        if is_onnx(name):
            classifier = open_onnx_classifier(Path(name), teacher_source(name))
            teachers.append(LoadedTeacher(name, classifier, hash_file(classifier.file)))
        else:
            network = load_teacher_network(name, options.teacher_size)
            teachers.append(LoadedTeacher(name, network, _hash_weights(network.network)))
    return teachers


def hash_teachers(teachers: Sequence[LoadedTeacher]) -> str:
    """Hash of the weights of all teachers, in their order; empty without one."""
    return "".join(teacher.weights_hash for teacher in teachers)


def choose_classes(teachers: Sequence[LoadedTeacher], options: TeacherOptions, data: LabeledDataset) -> tuple[str, ...]:
    """Choose the classes of the student: those of the data, or all of the teachers', which then include them.

    Classes of the teachers have their order and their names, except that WordNet ids become names, and that two classes
    of ImageNet with the same name are distinguished; see `readable_names`.

    Args:
        teachers: the loaded teachers; at least one, if their classes are chosen.
        options: `teacher_classes`.
        data: the training set.

    Raises:
        ConfigError: images have several labels.
        DataError: the teachers have different labels, or the same one twice, or lack a class of the data.
    """
    if options.teacher_classes == "data":
        return tuple(data.classes)
    if data.is_multi_label:  # the absence of a label would only mean that the data does not have this class
        reason = f"is all, and images of {data.name} have several labels"
        raise ConfigError(reason, source="teacher_classes", hint="use data")
    first, *others = teachers
    labels = readable_names(first.network.labels)
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        raise DataError(f"it has two labels {repeated[0]!r}", source=teacher_source(first.name), hint=_DATA_CLASSES)
    for teacher in others:
        if not are_same_classes(teacher.network.labels, labels):
            reason = f"its labels are not those of {first.name}"
            raise DataError(reason, source=teacher_source(teacher.name), hint=_DATA_CLASSES)
    match_teacher_classes(first.name, data.classes, labels)
    return labels


def open_teacher_of_run(
    teachers: Sequence[LoadedTeacher],
    options: TeacherOptions,
    student: Student,
    *,
    device: torch.device,
    precision: str,
    num_processes: int = 1,
) -> nn.Module | TeacherProcess | None:
    """Connect the teachers with the student, as one; None without distillation.

    On a CPU, and for ONNX files, OpenVINO computes them in a process of its own; on other devices torch does.

    Args:
        teachers: the loaded teachers.
        options: size and engine.
        student: the network that is trained.
        device: device of the training.
        precision: precision of the training: fp32, bf16 or fp16.
        num_processes: number of processes that train together; those on one machine share its cores.

    Raises:
        ConfigError: a teacher cannot take images of its size, or OpenVINO cannot convert it.
        DataError: a class is not among the labels of a teacher.
    """
    if not teachers:
        return None
    engine, on_cpu = options.teacher_engine, device.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else max(1, usable_cores() // processes_on_machine(num_processes))
    has_onnx = any(isinstance(teacher.network, OnnxClassifier) for teacher in teachers)
    if engine == "openvino" or has_onnx:
        return _start_process(teachers, options, student, precision=precision, threads=threads)
    if engine == "auto" and on_cpu:
        try:
            return _start_process(teachers, options, student, precision=precision, threads=threads)
        except ConversionError as error:
            warnings.warn(f"{error.source}: {error.reason}: torch computes it, slower", LevitWarning, stacklevel=2)
    networks = [
        build_teacher(name, network, student.classes, student.preprocessing, image_size=options.teacher_size)
        for name, network, _ in teachers
        if isinstance(network, ClassificationNetwork)
    ]
    return combine_teachers(networks).to(device).to(memory_format=torch.channels_last)


def _start_process(
    teachers: Sequence[LoadedTeacher],
    options: TeacherOptions,
    student: Student,
    *,
    precision: str,
    threads: int,
) -> TeacherProcess:
    """Write the graphs of the teachers and start the process that computes them."""
    requested = "fp32" if precision == "fp32" else "auto"
    element_type = choose_openvino_precision(requested, quantized=False).float_precision
    size = student.image_size
    with tempfile.TemporaryDirectory(prefix="levit-teacher-") as folder:
        graphs = [Path(folder, f"{number}.xml") for number in range(len(teachers))]
        for teacher, graph in zip(teachers, graphs, strict=True):
            _write_graph(teacher, options, student, size, graph)
        settings = TeacherSettings(
            graphs=tuple(map(str, graphs)), shape=(3, *size), precision=_ELEMENT_TYPES[element_type], threads=threads,
        )  # fmt: skip
        return TeacherProcess(settings, source=teacher_source(",".join(options.names)))


def _write_graph(teacher: LoadedTeacher, options: TeacherOptions, student: Student, size: Grid, graph: Path) -> None:
    """Write the graph of a teacher; the folded one of a LeViT is faster than a conversion of its network."""
    name, network, _ = teacher
    file: Path | bytes
    if isinstance(network, OnnxClassifier):
        file, preprocessing = network.file, resize_preprocessing(network.preprocessing, options.teacher_size)
    elif isinstance(network.network, LevitPreTrainedModel):
        preprocessing = network.preprocessing
        checkpoint = replace(checkpoint_from_model(network.network), preprocessing=preprocessing)
        file = build_artifact(checkpoint).SerializeToString()
    else:
        module = build_teacher(name, network, student.classes, student.preprocessing, image_size=options.teacher_size)
        write_torch_graph(module, size, graph, source=teacher_source(name))
        return
    write_onnx_graph(
        file, graph, preprocessing=preprocessing, student=student.preprocessing, size=size,
        source=teacher_source(name), class_indices=match_teacher_classes(name, student.classes, network.labels),
    )  # fmt: skip


def _hash_weights(network: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
