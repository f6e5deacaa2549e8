"""The user tower as MLflow knows models: what goes in, what comes out, and how to run it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime as ort

from training.artifact import USER_TOWER

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MLMODEL: Final = "MLmodel"  # the file that MLflow looks for beside a model's others

_TYPES: Final = {"tensor(float)": np.float32, "tensor(bool)": np.bool_}
_ANY: Final = -1  # size of a dimension that may have any


def write_mlmodel(artifact: Path, directory: Path) -> Path:
    """Describe an artifact's user tower: with the signature, and as ONNX and Python function.

    With this file beside it, `mlflow.pyfunc.load_model` makes vectors of users, and refuses inputs
    that have other names, types or sizes.

    Args:
        artifact: its directory.
        directory: to write to.
    """
    from mlflow.models import Model

    model = Model(signature=user_signature(artifact / USER_TOWER))
    model.add_flavor("onnx", data=USER_TOWER, providers=["CPUExecutionProvider"])
    model.add_flavor("python_function", data=USER_TOWER, loader_module="mlflow.onnx")
    path = directory / MLMODEL
    model.save(path)
    return path


def user_signature(tower: Path) -> "ModelSignature":
    """Of the exported user tower: `exported_inputs` to vectors, as the file itself says."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    session = ort.InferenceSession(tower, providers=["CPUExecutionProvider"])
    return ModelSignature(
        Schema([_spec(tensor) for tensor in session.get_inputs()]),
        Schema([_spec(tensor) for tensor in session.get_outputs()]),
    )


def _spec(tensor: Any) -> Any:
    from mlflow.types import TensorSpec

    sizes = [size if isinstance(size, int) else _ANY for size in tensor.shape]
    return TensorSpec(np.dtype(_TYPES[tensor.type]), sizes, tensor.name)
