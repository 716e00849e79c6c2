"""Import before SpikingJelly and Norse: declares the one operator of torchvision that its Python code looks up, for machines where
torchvision's compiled operators do not fit the installed PyTorch, or where it is missing (then an empty module stands for it)."""

import importlib.util
import sys
import types

import torch

if importlib.util.find_spec("torchvision") is None:
    for name in ("torchvision", "torchvision.transforms", "torchvision.datasets"):
        sys.modules.setdefault(name, types.ModuleType(name))
else:
    try:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except Exception:
        pass
